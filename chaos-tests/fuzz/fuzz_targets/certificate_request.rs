#![no_main]
kho_fuzz::fuzz!(certificate_request);
