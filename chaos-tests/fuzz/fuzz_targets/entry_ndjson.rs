#![no_main]
kho_fuzz::fuzz!(entry_ndjson);
