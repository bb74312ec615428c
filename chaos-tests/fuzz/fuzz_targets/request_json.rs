#![no_main]
kho_fuzz::fuzz!(request_json);
