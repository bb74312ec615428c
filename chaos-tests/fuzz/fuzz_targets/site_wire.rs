#![no_main]
kho_fuzz::fuzz!(site_wire);
