import type { ChatflowRow, GrantRow } from '../store/collections.ts'

/** `allowed`, or the code of the refusal. */
export type Decision = 'allowed' | 'chatflow_not_found' | 'chatflow_forbidden'

export interface Facts {
  chatflow: Pick<ChatflowRow, 'status'> | undefined
  grant: Pick<GrantRow, 'isActive'> | undefined
  isAdmin: boolean
}

/**
 * Whether somebody may use a chatflow. What is unknown or deleted is not there for anybody; the rest takes the role
 * admin or an active grant. What Flowise says of a chatflow (deployed, public) grants nothing.
 */
export function decide({ chatflow, grant, isAdmin }: Facts): Decision {
  if (chatflow === undefined || chatflow.status === 'deleted') return 'chatflow_not_found'
  return isAdmin || grant?.isActive === true ? 'allowed' : 'chatflow_forbidden'
}
