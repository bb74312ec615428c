#![no_main]
kho_fuzz::fuzz!(register_reply);
