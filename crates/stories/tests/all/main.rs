//! All stories, one binary. One file per thing that a user wants.
//!
//! What must never be half done, and attacks: each fault and each attack is brought about for real, with
//! a control that shows that it would be noticed. A name is a test of these files, or of the file in
//! front of it below `crates/`; that they exist is itself tested ([`faults`]).
//!
//! | Fault | Shown by |
//! |---|---|
//! | F1 the server killed in mid answer, with and without the gateway that reads it, on both databases; with its bridge | `runs_cut::a_server_killed_in_mid_answer_goes_on_where_it_was`, `runs_cut::so_it_is_on_postgres`, `runs::a_run_outlives_its_server_and_its_bridge` |
//! | F2 an effect in doubt in a run that nobody watches | `runs_cut::an_effect_in_doubt_is_asked_about_although_nobody_watches`, `kills_power::a_power_cut_in_mid_prompt_leaves_a_conversation_that_goes_on` |
//! | F3 kill -9 before and after each commit about runs, on both databases | `run_commits::a_server_killed_around_any_commit_leaves_every_run_whole`, `run_commits::so_does_one_on_postgres`, `store/src/commits::all_that_is_committed_about_runs_has_a_name` |
//! | F3 F4 twelve processes of sixteen workers, killed and stood still at random, on both databases (60 s on each; 10 min in the long lane) | `store/tests/story/chaos::on_sqlite`, `store/tests/story/chaos::on_postgres` |
//! | F4 an owner that stood still past its lease | `store/tests/story/stopped::for_long`, `store/tests/story/runs::owned` |
//! | F5 disk full outside: under an image, under folders, at the start | `bad_host::a_full_disk_under_an_image_loses_nothing_and_heals`, `bad_host::a_full_disk_under_plain_folders_loses_nothing_and_heals`, `bad_host::a_disk_with_too_little_room_to_start_is_named_at_every_fill`, `machine/tests/native/full::programs_that_write_stand_still_while_the_disk_is_full` |
//! | F5 disk full inside: the project's own bound | `bombs::a_limit_that_is_reached_is_an_event_and_the_bridge_lives_on`, `machine/tests/native/room::a_project_is_bounded_with_its_checkpoints_and_a_fork_counts_only_its_own`, `machine/tests/native/hits::a_disk_that_is_full_is_told_and_again_after_there_was_room`, `bridge/src/log/tests::a_full_disk_holds_events_back_and_loses_none` |
//! | F6 another program that has the database locked | `database_faults::while_another_program_has_it_locked_everything_is_shown_and_nothing_is_lost`, `store/tests/story/sqlite::while_another_program_has_it_locked_reads_go_on_and_writes_are_told_as_busy`, `store/tests/story/postgres::a_row_that_is_held_for_long_is_told_as_busy` |
//! | F7 a database that is damaged, or whose log is gone | `database_faults::a_database_that_is_not_whole_is_refused_with_the_backup_that_is_there`, `store/tests/story/sqlite::pages_that_are_none_any_more_are_refused_before_anything_is_written`, `store/tests/story/sqlite::a_log_that_is_gone_is_missed_and_one_that_was_emptied_is_not` |
//! | F8 power cuts at any moment, with what the disk had not yet been asked to write lost in part; copies of any instant | `store/tests/story/power::whatever_a_power_cut_leaves_opens_and_has_what_was_answered`, `database_faults::a_copy_of_any_instant_opens_and_has_what_was_answered` |
//! | F9 F10 in a run: 429, 500, 529 and 408 for longer than a moment; answers cut before, within and behind what they say | `runs_cut::a_provider_that_is_down_is_waited_for_and_cut_answers_are_asked_anew`, `agent/src/tests/run_rules::a_run_waits_for_a_provider_that_is_down_and_a_person_is_told_that_it_failed`, `bad_provider::a_call_that_is_cut_in_its_arguments_runs_no_tool` |
//! | F13 a thousand reconnects | `runs_followed::whoever_comes_back_a_thousand_times_has_every_event_once_and_in_order` |
//! | F14 numbers of the future, of other runs, of what is gone, and none at all | `runs_followed::a_number_that_is_none_of_the_run_is_refused_and_leads_to_no_other_one` |
//! | F20 a crowd of clients (10,000 in the long lane), one in a hundred of which reads nothing | `runs_followed::of_many_who_follow_those_that_read_nothing_are_let_go_and_miss_nothing`, `server/src/stalled::who_takes_something_now_and_then_is_never_cut_and_who_takes_nothing_is` |
//! | F21 PostgreSQL stands still, loses packets, ends and begins under load | `postgres_faults::a_database_that_stands_still_is_told_at_once_and_nothing_is_done_twice`, `postgres_faults::nor_is_it_when_packets_are_lost_on_their_way`, `many_servers::a_database_that_ends_under_load_loses_nothing_and_needs_no_new_start`, `many_servers::nor_does_one_that_ends_again_and_again`, `store/tests/story/postgres::a_database_that_is_silent_is_told_as_such_and_found_again`, `store/tests/story/postgres::a_database_that_went_away_is_found_again` |
//! | F22 one key a hundred times at once, on both databases; one end told once | `runs_cut::one_key_a_hundred_times_at_once_is_one_run`, `runs_cut::so_it_is_on_postgres`, `store/tests/story/webhooks::told_of` |
//! | F23 a run that ends its server each time | `runs_cut::a_run_that_ends_its_server_each_time_is_left_alone_and_the_queue_goes_on` |
//! | F24 a newer and an older version on one database; steps of the schema that are cut; rows of every version | `postgres_faults::servers_share_a_database_that_a_newer_one_has_changed_until_they_start_again`, `store/tests/story/upgrade::killed`, `store/tests/story/upgrade::expanded`, `store/tests/story/older::every_row_of_every_earlier_version_is_kept`, `store/tests/story/older::on_postgres`, `store/tests/story/postgres::a_newer_database_is_refused` |
//! | F9 a provider that is down, overloaded or silent, with another model to stand in | `fallbacks::while_a_provider_is_down_another_model_works_on_and_the_chosen_one_comes_back`, `fallbacks::when_both_are_down_the_error_says_who_was_tried_and_a_person_can_stop_the_waiting`, `fallbacks::a_project_says_itself_who_stands_in_for_whom`, `fallbacks::a_person_sets_them_in_a_browser_and_sees_who_answered`, `gateway/src/models/tests/fallback::whatever_keeps_a_provider_from_beginning_lets_another_answer` |
//! | the gateway killed at each frame of a streamed call, with budgets, and between two models | `gateway/tests/killed::however_far_a_streamed_call_is_it_was_granted_and_the_next_gateway_counts_it` |
//! | F15 clock forward and back two hours, under the real server (long lane) | `stories/tests/all/schedules/clocks::a_clock_that_jumps_two_hours_fires_nothing_twice` |
//! | F15 the same on a clock of the test's own, and the days when clocks change | `server/tests/it/schedules::a_clock_set_forward_makes_one_late_and_the_rest_skipped`, `server/tests/it/schedules/clocks::a_clock_set_back_fires_no_time_of_the_day_again`, `server/src/schedules/slots/tests::a_slot_that_the_clock_jumps_over_is_due_right_after_the_jump` |
//! | F16 out of memory | `services::a_tool_that_was_ended_for_memory_tells_the_model_so_with_the_limit`, `bombs::a_limit_that_is_reached_is_an_event_and_the_bridge_lives_on`, `machine/tests/native/hits::a_killed_command_and_a_refused_one_are_told_once` |
//! | F17 fork bomb | `machine/tests/native/bombs::a_fork_bomb_stays_in_its_machine`, `bombs::a_limit_that_is_reached_is_an_event_and_the_bridge_lives_on` |
//! | F17 zombies | `bombs::ten_thousand_zombies_are_reaped` |
//! | F17 children that hide, daemons that are left behind | `bad_command::abort_ends_every_child_also_those_that_left_their_session`, `hidden::an_abort_ends_a_process_that_hid_and_no_other_one`, `leftovers::nothing_of_ours_outlives_toft_down` |
//! | F18 a gigabyte of output, in one line; bytes that are no text | `bad_input::a_gigabyte_of_output_neither_fills_memory_nor_stops_anything`, `bad_command::a_tool_that_prints_a_gigabyte_gives_the_model_its_end_and_a_file`, `bridge/tests/services::a_flood_of_output_is_rotated_and_its_end_is_kept`, `probe_cli::exec_passes_bytes_through_both_ways` |
//! | F19 one port for two projects and the host | `inherited::projects_and_the_host_may_have_the_same_port` |
//! | F19 a port that somebody inside has; the server's own; all of those for previews | `bridge/tests/services::a_port_that_somebody_has_is_named_and_waited_for`, `bad_input::a_port_in_use_and_a_folder_in_use_are_named`, `server/tests/it/preview_ports::without_a_free_port_the_answer_says_what_to_do` |
//!
//! | Attack | Shown by |
//! |---|---|
//! | S1 a provider's key: memory, environment, names, disk and file systems in memory of a machine at work, logs at their loudest, answers, refusals that repeat it | `secrets::a_canary_key_is_in_the_gateway_and_nowhere_else`, `gateway/tests/process::the_key_is_nowhere_but_in_memory`, `gateway/src/models/tests/keys::where_pieces_of_an_answer_end_tells_nothing_of_a_key`, `gateway/src/models/tests/keys::a_provider_that_repeats_its_key_does_not_tell_the_machine` |
//! | S1 the same while foreign agents work (long lane) | `coding_agents::codex_does_a_task_without_a_key`, `coding_agents::opencode_does_a_task_without_a_key`, `coding_agents::claude_code_does_a_task_without_a_key` |
//! | S1 a provider's key and E2B's own, in a sandbox there: memory, files; this host's disk and logs | `e2b_backend::an_agent_works_in_a_sandbox_whoever_dies_and_no_key_is_in_it`, `e2b_backend::a_wrong_key_and_an_unknown_template_say_what_to_do` |
//! | S1 a key in what a crash leaves | `secrets::what_a_crash_leaves_holds_no_key` |
//! | S1 a secret of a project that is not shown to its agent | `project_secrets::a_secret_reaches_the_next_process_and_lies_nowhere`, `project_secrets::the_agent_asks_for_secrets_and_sees_none` |
//! | a stolen project token, outside, in another machine, in a fork, after a restart | `secrets::a_stolen_project_token_opens_nothing_elsewhere`, `attacks::the_gateway_believes_one_token_and_its_proxy_reads_hosts_one_way`, `gateway/src/models/tests/refusing::only_the_token_of_this_very_machine_is_taken` |
//! | S2 a placeholder for another host, path, header, in a URL, without TLS, behind a redirect; another machine's | `brokered::programs_use_a_key_that_is_in_no_machine`, `brokered::so_do_programs_in_a_container`, `brokered::a_binding_counts_for_the_next_request_and_for_no_other_machine`, `gateway/src/brokered/request/tests::a_placeholder_anywhere_else_is_refused`, `gateway/src/brokered/request/tests::without_tls_no_placeholder_goes_out` |
//! | S3 a host that says the value back, in pieces, encoded, in a header | `brokered::programs_use_a_key_that_is_in_no_machine`, `gateway/src/needles/tests::a_value_is_found_with_every_character_escaped_once_or_twice`, `gateway/src/needles/stream/tests::the_answer_is_the_same_however_it_is_cut_and_never_has_a_value` |
//! | S4 host names that two readers could read differently, asked of the proxy from inside | `stories/tests/all/way_out/attacks::names_and_addresses_that_lie_lead_nowhere`, `gateway/src/egress/tests::every_disguise_of_a_host_is_refused_before_anything_is_resolved_or_dialled`, `policy/src/host::every_trick_that_two_parsers_could_read_differently_is_refused` |
//! | S4 what was checked and what is dialled, for any name and any answer | `gateway/src/egress/dial::what_is_dialled_was_resolved_and_checked_and_nothing_else`, `gateway/src/egress/dial::only_the_name_that_was_allowed_is_ever_asked_for`, `gateway/src/egress/dial::a_form_that_other_readers_take_for_an_address_is_that_address_or_nothing` |
//! | S5 TLS and HTTP for another host inside an allowed connection, in its second request too | `stories/tests/all/way_out/attacks::what_is_said_inside_a_connection_must_be_for_the_host_it_was_opened_for`, `gateway/src/egress/tests/tunnels::on_an_allow_list_a_tls_client_must_name_the_host_it_asked_for`, `gateway/src/egress/tests/hosts::every_request_inside_a_tunnel_is_for_its_host_or_refused` |
//! | S5 a connection for another host that was opened before there was a list | `way_out::a_stricter_level_cuts_what_it_no_longer_allows_and_nothing_else`, `gateway/src/egress/tests/hosts::a_list_cuts_what_passed_for_another_host_before_it_held` |
//! | S6 metadata addresses and names in every form | `stories/tests/all/way_out/attacks::names_and_addresses_that_lie_lead_nowhere`, `policy/src/address::every_special_range_is_refused_at_both_ends`, `policy/src/address::no_wrapping_makes_a_refused_address_public` |
//! | S7 a name with public and private answers, and one that turns between two questions, by a real name server | `stories/tests/all/way_out/attacks::names_and_addresses_that_lie_lead_nowhere`, `gateway/src/egress/tests::the_checked_address_is_the_dialled_one_whatever_the_name_server_says_next` |
//! | S6 S7 the same in records of IPv6, alone and beside a public one, with and without the proxy | `stories/tests/all/way_out/names::a_name_with_addresses_of_the_newer_protocol_leads_to_public_ones_only` |
//! | S8 a redirect to the control plane, by loopback and by the host's public address | `stories/tests/all/way_out/attacks::names_and_addresses_that_lie_lead_nowhere`, `gateway/src/egress/tests::a_redirect_is_handed_back_and_refused_when_it_is_followed` |
//! | S10 control plane, host and other projects by address | `stories/tests/all/way_out/attacks::names_and_addresses_that_lie_lead_nowhere`, `walls::a_machine_reaches_no_port_of_the_host_and_no_other_machine` |
//! | S28 a machine that would change its own level | `stories/tests/all/way_out/attacks::nothing_inside_changes_what_a_machine_may_reach` |
//! | S9 raw sockets, UDP, DNS tunnels, ICMP, AF_VSOCK, abstract Unix sockets | `direct::what_is_no_connection_of_an_allowed_host_gets_nowhere`, `machine/tests/native/direct::dns_reaches_the_gateway_and_nothing_but_tcp_has_a_route`, `gateway/src/direct/tests::dns_answers_by_datagram_and_by_connection_and_asks_nobody` |
//! | S9 a tunnel in names: questions of every kind, labels that other readers read otherwise, other name servers | `stories/tests/all/way_out/names::what_is_asked_of_names_carries_nothing_out`, `gateway/src/direct/tests::only_names_that_some_level_reaches_have_an_address` |
//! | S10 the control plane, the host, other projects, by address or through names | `direct::what_is_no_connection_of_an_allowed_host_gets_nowhere`, `direct::ssh_and_git_reach_an_allowed_host_by_its_name_and_no_other`, `walls::a_machine_reaches_no_port_of_the_host_and_no_other_machine` |
//! | S11 links, `..`, hard links and `/proc` in a disk that the server reads, keeps, puts back, deletes | `machine/tests/native/race::no_link_of_a_disk_leads_the_host_out_of_it`, `machine/src/at_rest/tests::links_lead_to_where_they_lead_inside_and_never_out`, `machine/src/at_rest/tests::what_is_no_regular_file_is_never_opened`, `machine/tests/native/checkpoints/hostile::hostile_trees_lead_nowhere`, `attacks::a_project_of_any_shape_can_be_deleted_and_links_lead_nowhere`, `attacks::what_lies_in_place_of_the_logs_neither_hangs_nor_leads_the_server`, `machine/tests/native/escape::a_planted_link_above_the_root_does_not_reach_the_host` |
//! | S11 the same in an archive | `images::what_cannot_become_an_image_is_refused_at_once_with_a_word_on_what_to_do`, `machine/src/images/tests::a_path_that_climbs_out_is_refused`, `machine/src/images/tests::a_file_through_a_link_that_leads_out_stays_inside`, `machine/src/images/tests::a_hard_link_to_something_outside_is_refused` |
//! | S12 a folder exchanged for a link while the server reads (4,000 times; 100,000 in the long lane) | `machine/tests/native/race::a_folder_that_is_exchanged_for_a_link_while_the_host_reads_leads_nowhere`, `machine/src/at_rest/tests::a_folder_that_becomes_a_link_at_any_moment_leads_nowhere` |
//! | S13 system calls, each with the error that it must get | `machine/tests/native/escape::dangerous_system_calls_are_refused`, `attacks::calls_that_change_walls_or_reach_the_kernel_are_refused`, `attacks::the_same_calls_are_refused_in_a_container` |
//! | S13 init and bridge traced, robbed, read | `attacks::programs_cannot_rob_trace_or_read_init_and_bridge` |
//! | S14 set-user-id files, capabilities of files, device nodes: for the next run, a fork, the host | `inherited::what_one_run_leaves_gives_the_next_no_rights_and_the_host_none`, `machine/src/images/tests::modes_times_and_hard_links_come_over_and_devices_do_not` |
//! | S15 bombs of processes, memory, descriptors, inodes, holes, with a neighbour that is asked all the time | `machine/tests/native/bombs::a_fork_bomb_stays_in_its_machine`, `machine/tests/native/bombs::a_memory_bomb_stays_in_its_machine`, `machine/tests/native/bombs::a_descriptor_bomb_stays_in_its_machine`, `machine/tests/native/bombs::inodes_and_holes_fill_nothing_but_their_own_disk` |
//! | S15 the log folder, which lies outside of the disk | `log_folder::no_program_writes_to_the_log_folder_and_all_read_it`, `log_folder::nor_does_one_in_a_container` |
//! | a receipt that no init has written | `receipts::a_claim_leads_to_what_ran_and_an_edit_makes_it_old`, `log_folder::no_program_writes_to_the_log_folder_and_all_read_it` |
//! | S15 a bomb of an archive | `machine/src/images/tests::what_promises_or_holds_more_than_there_is_room_for_ends_with_a_clear_word` |
//! | S16 descriptors that came along | `inherited::whoever_starts_a_program_it_has_three_descriptors_and_no_more`, `machine/tests/native/life::init_inherits_nothing_but_its_sockets` |
//! | S16 descriptors, memory and rights of init and bridge, from a program beside them | `attacks::programs_cannot_rob_trace_or_read_init_and_bridge` |
//! | S13 S16 code of a project's own in init and bridge, and every call that leads from one process into another, also while a bridge begins | `own_code::what_loader_and_names_read_in_a_machine_brings_no_code_into_init_or_bridge`, `own_code::nor_in_a_container`, `own_code::nothing_takes_the_place_of_what_init_and_bridge_are_started_from`, `own_code::nor_of_what_a_container_starts_from`, `own_code::a_bridge_that_only_just_begins_cannot_be_taken_hold_of`, `own_code::no_call_leads_from_a_program_to_memory_or_descriptors_of_init_and_bridge` |

mod agent_kills;
mod agent_settings;
mod attacks;
mod backup;
mod bad_command;
mod bad_host;
mod bad_input;
mod bad_provider;
mod bare_address;
mod bombs;
mod broken_inside;
mod brokered;
mod brokered_protocols;
mod bucket;
mod checkpoints;
mod coding_agents;
mod cold;
mod compared;
mod database_faults;
mod direct;
mod e2b_backend;
mod e2b_sdk;
mod extensions;
mod fallbacks;
mod faults;
mod hidden;
mod host_backend;
mod house;
mod images;
mod impostor;
mod inherited;
mod keys_for_programs;
mod kills;
mod kills_images;
mod kills_life;
mod kills_power;
mod kills_steps;
mod leftovers;
mod log_folder;
mod main_story;
mod many_servers;
mod many_servers_e2b;
mod mcp_sign_in;
mod oci_backend;
mod openapi;
mod ordinary_user;
mod outside_models;
mod own_code;
mod pauses;
mod pi;
mod plan_mode;
mod postgres_faults;
mod preview_attacks;
mod previews;
mod probe_cli;
mod probe_files;
mod probe_http;
mod project_secrets;
mod proposed_binding;
mod provider_keys;
mod receipts;
mod replay;
mod run_commits;
mod run_webhooks;
mod runs;
mod runs_contract;
mod runs_cut;
mod runs_dashboard;
mod runs_followed;
mod said_once;
mod schedules;
mod sdks;
mod secrets;
mod services;
mod shown_at_once;
mod sign_ins;
mod sleep_wake;
mod spine;
mod steering;
mod traces;
mod trusted;
mod usage;
mod walls;
mod way_out;
mod wire;
mod workspace_backends;
mod workspace_e2b;
