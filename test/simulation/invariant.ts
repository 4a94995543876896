// What must hold in every simulated world, whatever fails: sixteen invariants and the laws that watch over each. Checks nothing itself.

/** A law is one question that the checker asks; its name says what holds. */
export const invariants = {
  I1: {
    says: 'a job has at most one live fence',
    laws: [
      'one_live_claim',
      'the_claim_of_a_job_is_live',
      'claim_fits_state',
      'a_dead_claim_stays_dead',
      'epochs_count_from_one',
      'epoch_never_falls',
    ],
  },
  I2: {
    says: 'attempts rise only by policy',
    laws: [
      'attempts_rise_by_policy',
      'attempts_never_fall',
      'attempts_are_confirmed_claims',
      'attempts_count_from_one',
      'the_attempt_is_told',
    ],
  },
  I3: {
    says: 'an accepted prefix of a stream never changes or shrinks',
    laws: [
      'accepted_bytes_never_change',
      'a_stream_is_a_prefix',
      'what_was_read_stands',
      'complete_is_whole',
      'capped_is_the_prefix',
      'the_tail_is_kept',
    ],
  },
  I4: { says: 'a terminal state absorbs', laws: ['terminal_absorbs', 'a_final_word_stands'] },
  I5: { says: 'every end has a cause of the closed list', laws: ['every_end_has_a_cause', 'only_an_end_has_a_cause'] },
  I6: {
    says: 'a claimed job ends or is queued again within lease and grace of the last word about it',
    laws: ['a_silent_claim_ends'],
  },
  I7: { says: 'no token is good for two claims', laws: ['a_token_is_of_one_claim', 'a_foreign_token_is_refused'] },
  I8: {
    says: 'the state after a crash holds every acknowledged write',
    laws: [
      'acknowledged_job_stays',
      'acknowledged_cancel_stays',
      'acknowledged_start_stays',
      'acknowledged_bytes_stay',
      'acknowledged_end_stays',
      'a_confirmation_stands',
      'a_cancel_is_not_forgotten',
      'jobs_stay',
      'a_submit_makes_one_job',
      'version_never_falls',
      'version_rises',
      'every_step_is_logged',
    ],
  },
  I9: { says: 'online means that a poll completed within hold and grace', laws: ['online_means_a_poll_completed'] },
  I10: {
    says: 'no secret stands in the clear outside worker and consumer',
    laws: ['no_secret_on_the_wire', 'no_secret_at_rest', 'no_secret_in_a_log', 'a_token_goes_to_no_other_host'],
  },
  I11: {
    says: 'once faults stop, every job that can run ends',
    laws: ['all_ends_after_the_storm', 'every_job_ends', 'nothing_is_left_running'],
  },
  I12: {
    says: 'a job that is not declared idempotent never starts twice, unless its first end was told and its policy asks for another try',
    laws: [
      'a_claim_starts_once',
      'not_before_pond_accepted',
      'never_twice_at_once',
      'started_again_only_by_policy',
      'nothing_of_a_former_life_runs',
    ],
  },
  I13: {
    says: 'what the jobs of a machine hold, from their intents until their trees ended, is never more than it has',
    laws: ['a_machine_is_never_overcommitted', 'a_device_has_one_job'],
  },
  I14: { says: 'a job runs only where its needs are met', laws: ['only_where_its_needs_are_met'] },
  I15: {
    says: 'a job runs only when what it waits for ended as it needs, and then does not stay waiting',
    laws: ['not_before_what_it_waits_for', 'only_what_broke_blocks', 'what_was_released_does_not_wait'],
  },
  I16: {
    says: 'once faults stop, a job that suits a worker with room for it runs',
    laws: ['what_suits_has_run'],
  },
} as const

/** Laws beyond these. */
const further = [
  'no_unhandled_rejection',
  'no_fault',
  'no_end_unasked',
  'only_claimed_jobs_start',
  'the_job_itself_never_changes',
  'submit_is_taken',
  'cancel_is_taken',
  'stream_can_be_read',
  'the_consumer_saw_the_end',
  'success_is_an_exit_of_0',
  'the_exit_code_is_the_process_s',
  'only_who_asked_cancels',
  'only_a_ttl_expires',
  'only_a_limit_times_out',
  'only_the_broken_fail_to_start',
  'calm_loses_nothing',
  'the_result_is_whole',
  'streams_are_reported',
  'the_cap_holds',
  'nothing_is_lost_without_a_cause',
  'what_was_written_is_counted',
  'sealed_output_opens',
  'its_bundle_lies_in_its_folder',
  'an_artifact_is_what_was_written',
  'a_late_result_is_adopted_once',
  'what_was_adopted_is_read',
] as const

export type InvariantId = keyof typeof invariants
export type Law = (typeof invariants)[InvariantId]['laws'][number] | (typeof further)[number]

const numbers = new Map<string, InvariantId>(
  Object.entries(invariants).flatMap(([id, { laws }]) => laws.map((law) => [law, id as InvariantId] as const)),
)

/** With the number of its invariant in front, where it has one. */
export function nameOf(law: Law): string {
  const number = numbers.get(law)
  return number === undefined ? law : `${number} ${law}`
}
