import { createRemembered, type RememberedOptions } from './remembered.ts'

/** Whether a chatflow can stream, as far as Flowise says. */
export type Eligibility = 'yes' | 'no' | 'unknown' | 'not_found'

/** Remembers which chatflows stream, by id: `yes` and `no`, and nothing that is not certain. */
export function createEligibility(
  options: Omit<RememberedOptions<Eligibility>, 'isKept'>
): (chatflowId: string) => Promise<Eligibility> {
  return createRemembered({ ...options, isKept: (value) => value === 'yes' || value === 'no' })
}
