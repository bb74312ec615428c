#![no_main]
kho_fuzz::fuzz!(entry_csv);
