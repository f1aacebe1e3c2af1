/** Which stream somebody wants to follow: by its message, or the one that runs in a session. */
export type Wanted = { messageId: string } | { sessionId: string }

/** Who wants it, and how much of it they have. */
export interface Question {
  wanted: Wanted
  userId: string
  /** Null: of every chatflow. */
  chatflowIds: readonly string[] | null
  /** Id of the last frame that was received; absent: none. */
  after?: number | undefined
}

/** True if the one who asks may see what belongs to this user and chatflow. */
export function isVisible(
  { userId, chatflowIds }: Pick<Question, 'userId' | 'chatflowIds'>,
  owned: { readonly userId: string; readonly chatflowId: string }
): boolean {
  return owned.userId === userId && (chatflowIds === null || chatflowIds.includes(owned.chatflowId))
}
