#![no_main]
kho_fuzz::fuzz!(log_value);
