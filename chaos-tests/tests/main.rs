//! Scenes with real processes: one module for each, one tree for each, one at a time.
//!
//! They need `khod` and `kho` of the same build: `cargo build --release` first.

mod a_task_that_dies;
mod bundle;
mod failover;
mod faults;
mod golden;
mod levels;
mod linearizability;
mod membership;
mod moved_nodes;
mod promise_1_leader_killed_in_the_middle_of_an_import;
mod promise_2_a_site_that_was_set_back;
mod promise_2_nodes_that_were_set_back;
mod promise_2_parent_acknowledges_only_what_it_committed;
mod promise_4_a_bundle_enters_only_where_the_register_leads;
mod promise_4_hostile_province;
mod promise_4_only_a_child_of_the_register_is_taken_in;
mod promise_4_registers_of_a_hostile_parent;
mod promise_4_who_saw_personal_data_is_audited;
mod promise_6_a_double_of_a_site;
mod promise_7_an_old_register_over_a_slow_link;
mod promise_7_link_cut_and_resumed;
mod promise_7_parent_switched_mid_segment;
mod promise_7_whole_origin_transfer;
mod promise_9_an_answer_names_what_it_lacks;
mod promise_9_an_operator_confirms_the_time;
mod promise_9_healthy_means_moving;
mod revocation;
mod trees;
