"""Which tests `make test-fast` leaves out, and how it sees to it that no engine compiles in the others.

What it leaves out is listed here: folders and files, then tests. A test that has an engine compile, and is
not listed, fails there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

from tests.without_engines import sitecustomize

# Samples, databases and whole models compile; campaigns and documentation take their time.
FOLDERS = """
tests/databases tests/fuzz tests/models tests/opdb tests/ops tests/zoo
""".split()

# All of their tests that matter compile, or start a number of processes.
FILES = """
tests/bridge/test_autocast.py
tests/bridge/test_bound_buffers.py
tests/bridge/test_cli.py
tests/bridge/test_collectives.py
tests/bridge/test_dynamic_modules.py
tests/bridge/test_given_weights.py
tests/bridge/test_items.py
tests/bridge/test_padding.py
tests/bridge/test_set_weights.py
tests/bridge/adapters/test_merging.py
tests/bridge/adapters/test_variant.py
tests/lowering/passes/functionalise/test_random_programs.py
tests/lowering/passes/test_adding_a_pass.py
tests/lowering/stablehlo/passes/test_convolution.py
tests/lowering/stablehlo/test_bounds.py
tests/lowering/targets/aten/test_casts.py
tests/lowering/targets/iree/test_dynamic.py
tests/lowering/targets/iree/test_memory.py
tests/lowering/targets/test_added_engine.py
tests/lowering/targets/test_adding_a_pass.py
tests/lowering/targets/test_hoisted_weights.py
tests/lowering/test_adding_a_dtype.py
tests/lowering/test_adding_an_op.py
tests/runtime/test_sharing.py
tests/test_docs.py
tests/test_gpu.py
tests/test_layers.py
tests/test_padded_programs.py
tests/test_portable.py
tests/test_programs.py
tests/test_properties.py
tests/test_pt2_programs.py
tests/test_random_programs.py
tests/test_side_by_side.py
""".split()

# By file, the tests that compile, and those that take seconds.
TESTS = {
    "tests/benchmarks/test_cases.py": """
        test_a_cache_that_is_not_kept_is_noticed test_every_model_exports_and_its_rows_differ
    """,
    "tests/benchmarks/test_dynamic.py": "test_both_binaries_are_compared_with_eager_and_timed",
    "tests/bridge/cli/test_limits.py": """
        test_a_command_within_its_limits_is_as_without test_a_loop_without_end
        test_a_size_beyond_all_memory
    """,
    "tests/bridge/cli/test_observation.py": "test_binaries_of_a_part_of_the_passes_are_not_kept",
    "tests/bridge/report/test_browser.py": "test_bert_base_is_seen_in_a_few_boxes",
    "tests/bridge/report/test_document.py": "test_a_report_of_bert_base_is_under_3_mb",
    "tests/bridge/test_artifact.py": "test_concurrent_saves_leave_one_whole_artifact",
    "tests/bridge/test_bounds_option.py": "test_the_command_line",
    "tests/bridge/test_cached_compilation.py": "test_another_process_finds_it",
    "tests/bridge/test_compilation.py": "test_the_number_of_moves_is_bounded",
    "tests/bridge/test_containers.py": """
        test_a_class_is_found_where_its_package_is_imported test_results_that_are_no_tensors
        test_the_class_that_is_imported_is_taken_and_given test_without_the_class
    """,
    "tests/bridge/test_damage.py": "test_wrong_values_in_json_never_crash",
    "tests/bridge/test_methods.py": "test_a_buffer_stays_where_it_lies_over_methods",
    "tests/bridge/test_referenced_weights.py": "test_a_safetensors_file",
    "tests/bridge/test_data_dependent.py": """
        test_it_is_so_for_a_loaded_artifact test_verification_compiles_at_the_first_size
        test_what_follows_is_compiled_for_sizes_that_come_again
        test_what_follows_runs_on_the_binary_for_all_sizes
    """,
    "tests/lowering/stablehlo/passes/test_choose_cast_booleans.py": """
        test_products_are_eager_s test_they_are_so_at_sizes_that_come_later
    """,
    "tests/lowering/stablehlo/passes/test_keep_overflows.py": "test_chains_are_eager_s",
    "tests/bridge/verification/test_methods.py": "test_an_artifact_of_methods_on_the_command_line",
    "tests/bridge/verification/test_range_sizes.py": """
        test_a_size_at_which_an_engine_differs_is_a_failure
        test_verification_has_a_row_for_each_and_for_those_asked_for
    """,
    "tests/lowering/stablehlo/test_emit_dynamic.py": "test_refined_it_is_static_and_gives_what_eager_gives",
    "tests/lowering/stablehlo/passes/test_legalise_functions.py": "test_tangents_of_float64_are_exact",
    "tests/lowering/stablehlo/passes/test_legalise_scatters.py": "test_results_stay",
    "tests/lowering/stablehlo/passes/test_refuse_dynamic_loops.py": """
        test_a_series_is_eager_s_at_every_size
    """,
    "tests/bridge/test_decomposed.py": "test_a_wholly_decomposed_program_is_wholly_lowered",
    "tests/bridge/test_demo.py": "test_the_demo_does_the_main_job",
    "tests/bridge/test_devices.py": """
        test_a_file_from_a_gpu_on_iree test_recorded_devices_are_where_the_call_runs
        test_samples_as_from_a_gpu
    """,
    "tests/bridge/test_background_compiler.py": "test_what_it_refuses_is_not_tried_here",
    "tests/bridge/test_compile_worker.py": """
        test_a_module_for_all_sizes_is_made_static_and_compiled test_a_static_module_is_compiled
    """,
    "tests/bridge/test_experts.py": """
        test_a_whole_mixture_through_the_command_line
        test_lowering_them_imports_neither_torch_nor_transformers
        test_running_them_on_aten_brings_transformers
    """,
    "tests/bridge/test_foreign.py": "test_a_stranger_s_artifact_is_written_anew_before_it_is_signed",
    "tests/bridge/test_ir.py": "test_the_whole_path test_the_whole_path_on_the_command_line",
    "tests/bridge/test_growth.py": """
        test_calls_leave_nothing test_programs_that_are_dropped_leave_nothing
        test_what_is_left_behind_is_found
    """,
    "tests/bridge/test_kernels.py": "test_decompositions_and_rules_of_operators_that_torch_does_not_have",
    "tests/bridge/test_memory.py": "test_engines_tell_exactly",
    "tests/bridge/test_packages.py": "test_a_new_size_of_an_artifact_without_jax_and_torch",
    "tests/bridge/test_sessions.py": "test_a_failed_call_leaves_its_session_and_the_others",
    "tests/bridge/test_random.py": "test_as_exported test_decomposed test_on_iree",
    "tests/bridge/test_regions.py": "test_bounds_checks_can_be_left_out_and_assertions_cannot",
    "tests/bridge/test_registration.py": """
        test_a_rule_lowers_an_operator_and_gets_its_defaults
        test_a_rule_of_an_operator_that_writes_also_returns_what_it_writes
        test_an_operator_is_there_once_its_module_is_imported
        test_an_operator_that_exists_nowhere_is_named_by_every_command test_decompositions_are_traced
        test_entry_points_are_loaded_when_a_program_names_their_namespace
        test_what_is_registered_later_counts
    """,
    "tests/bridge/test_replacing.py": "test_killed_saves test_two_savers_beside_readers",
    "tests/bridge/tuning/test_search.py": """
        test_a_call_can_be_given test_a_search_that_goes_on_compares_too
        test_a_search_without_time_goes_on_later test_a_value_passes_from_one_engine_to_the_other
        test_aten_gets_expanded_and_overlapping_tensors_of_an_engine test_moved_nodes_run_on_aten
        test_nothing_is_measured_twice test_segments_on_different_engines_are_eager
        test_the_loser_of_a_search_goes_and_the_winner_stays test_what_fails_is_a_trial_with_its_problem
        test_what_gives_other_results_than_eager_does_not_race
        test_who_was_ahead_by_little_races_eager_again
    """,
    "tests/bridge/verification/test_edges.py": "test_the_command_counts_them_where_asked",
    "tests/bridge/verification/test_repeat.py": "test_other_numbers_that_are_refused_are_not_given",
    "tests/bridge/cli/test_profile.py": """
        test_every_node_is_in_a_part test_kernels_name_nodes_and_lines test_the_trace_is_written
    """,
    "tests/lowering/targets/iree/test_profile.py": "test_the_dispatches_of_a_call",
    "tests/bridge/compiled/test_hooks.py": "test_sizes_at_which_types_do_not_hold_run_on_the_host",
    "tests/lowering/targets/xla/test_profile.py": "test_the_thunks_of_a_call",
    "tests/lowering/frontend/pt2/test_fuzz.py": "test_changed_documents",
    "tests/lowering/frontend/test_weight_subclasses.py": """
        test_a_file_of_subclasses_is_refused_with_the_line_that_mends_it
        test_a_model_of_subclasses_lowers_as_it_is
    """,
    "tests/lowering/host/test_release.py": "test_a_process_that_used_xla_exits_in_peace",
    "tests/lowering/host/test_shutdown.py": """
        test_a_daemon_thread_that_compiles test_daemon_threads_that_call
    """,
    "tests/lowering/ir/test_allowed.py": "test_the_table_is_what_its_generator_writes",
    "tests/lowering/stablehlo/passes/test_attention_in_blocks.py": """
        test_attention_in_blocks_is_the_same test_small_attention_stays_whole
        test_what_cannot_be_split_stays
    """,
    "tests/lowering/stablehlo/passes/test_bfloat16_through_float32.py": """
        test_results_are_sums_of_float32_rounded_once
    """,
    "tests/lowering/stablehlo/passes/test_convolutions_channels_last.py": """
        test_a_product_stays_apart_from_a_depthwise_convolution test_results_are_the_same
    """,
    "tests/lowering/stablehlo/passes/test_exact_libm_functions.py": """
        test_angles_are_as_exact_as_in_eager test_powers_and_angles_of_two_are_those_of_eager
        test_powers_keep_their_digits
    """,
    "tests/lowering/stablehlo/passes/test_keep_divisions.py": "test_quotients_are_eager_s",
    "tests/lowering/stablehlo/passes/test_pad_batched_matmuls.py": """
        test_products_with_batch_axes_get_axes_that_vectors_divide
    """,
    "tests/lowering/stablehlo/passes/test_round_float16_products.py": """
        test_products_are_rounded_as_eager_rounds_them
    """,
    "tests/lowering/stablehlo/test_decompose.py": "test_decomposed_equals_eager",
    "tests/lowering/stablehlo/test_emit.py": "test_the_same_bytes_in_every_process",
    "tests/lowering/targets/aten/test_reinplacing.py": "test_tied_buffers_are_one",
    "tests/lowering/targets/iree/test_bfloat16.py": """
        test_a_quotient_is_rounded_before_its_floor_is_taken
        test_integers_are_rounded_twice_as_in_eager test_widening_is_exact_for_every_value
    """,
    "tests/lowering/targets/iree/test_copies.py": """
        test_a_value_that_others_read_is_not_overwritten test_arguments_are_only_read
        test_two_layers_of_experts test_weights_are_only_read
    """,
    "tests/lowering/targets/iree/test_engine.py": """
        test_a_bound_of_this_process_is_the_compilers_too test_a_broken_compiler_is_an_error
        test_a_compiler_has_half_of_the_memory test_a_failure_names_the_node
        test_a_failure_of_the_weights_initialiser_is_an_error test_an_unknown_driver_is_an_error
        test_compiling_and_running_needs_neither_torch_nor_jax test_drivers
        test_weights_take_no_memory_of_their_own test_wrong_flags_are_an_error
    """,
    "tests/lowering/targets/iree/test_initialisers.py": "test_weights_are_packed_by_a_call",
    "tests/lowering/targets/iree/test_insertions.py": "test_a_shift_in_place",
    "tests/lowering/targets/iree/test_legalisation.py": "test_results_are_those_of_xla",
    "tests/lowering/targets/iree/test_limits.py": """
        test_a_long_sort_is_refused_by_name test_a_loop_over_too_many_tensors_is_explained
        test_what_is_let_through_sorts
    """,
    "tests/lowering/targets/iree/test_lookups.py": """
        test_a_running_sum_of_a_mask_has_a_binary_for_all_sizes
    """,
    "tests/lowering/targets/iree/test_masks.py": "test_products_and_masks_of_memory_compile",
    "tests/lowering/targets/iree/test_products.py": """
        test_attention_over_more_rows_than_a_tile_is_packed_and_right test_rows_that_fill_no_tile_are_divided
    """,
    "tests/lowering/targets/iree/test_races.py": """
        test_a_loop_runs_on_one_thread test_a_model_whose_waves_would_race
        test_a_module_that_cannot_be_checked_is_refused
    """,
    "tests/lowering/targets/iree/test_rows.py": "test_a_row_times_a_weight_of_any_width",
    "tests/lowering/targets/test_pipelines.py": "test_a_pipeline_keeps_results_and_their_types",
    "tests/lowering/targets/xla/test_engine.py": """
        test_a_binary_runs_on_each_device_of_its_kind test_a_binary_says_how_much_memory_a_call_needs
        test_a_refused_option_is_found_out
        test_tied_ports_share_one_imported_weight
    """,
    "tests/test_capabilities.py": "test_a_call_runs test_a_command_runs",
    "tests/runtime/test_small_sizes.py": """
        test_small_sizes_are_eagers test_small_sizes_on_iree test_what_stays_on_the_engine_and_what_goes
    """,
}

# The engines by which parametrised tests compile, as their ids have them.
_ENGINES = ("iree", "xla")


def leaves_out(name: str) -> bool:
    """Whether a folder, a file or a test, by its node id from the root of the repository, is left out."""
    file, _, test = name.partition("::")
    function, _, parameters = test.partition("[")
    if any(file == folder or file.startswith(f"{folder}/") for folder in FOLDERS) or file in FILES:
        return True
    return function in TESTS.get(file, "").split() or any(
        word in _ENGINES for word in parameters.rstrip("]").split("-")
    )


def forbid_engines(environment: MutableMapping[str, str], calls: str) -> None:
    """Let no engine compile, in this process and in those that are started in this environment.

    `calls`: a file, which gets a line whenever one was to.
    """
    environment[sitecustomize.CALLS] = calls
    folder = str(Path(sitecustomize.__file__).parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, environment.get("PYTHONPATH"))))
    sys.meta_path.insert(0, sitecustomize.WithoutEngines())


def engine_calls() -> int:
    """How much has been written of compilations that were to be, in bytes."""
    return os.path.getsize(os.environ[sitecustomize.CALLS])
