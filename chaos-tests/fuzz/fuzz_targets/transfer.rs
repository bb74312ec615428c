#![no_main]
kho_fuzz::fuzz!(transfer);
