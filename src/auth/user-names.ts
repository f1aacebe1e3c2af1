import { invalid } from '../errors.ts'
import type { Role } from '../store/collections.ts'

const USERNAME = /^[A-Za-z0-9_.@-]{3,50}$/
const EMAIL = /^[^\s@\p{Cc}]+@[^\s@\p{Cc}]+$/u
const CONTROL = /\p{Cc}/u

/** The form in which usernames are compared: without case. */
export function usernameKeyOf(username: string): string {
  return username.trim().toLowerCase()
}

/** The form in which e-mail addresses are stored and compared: trimmed, lower case. */
export function normalEmail(email: string): string {
  return email.trim().toLowerCase()
}

/** A role as people and other services write it; words we do not know have the rights of a user. */
export function roleOf(word: unknown): Role {
  const role = typeof word === 'string' ? word.trim().toLowerCase() : ''
  return role === 'admin' || role === 'premium' ? role : 'user'
}

/** @throws validation_error unless the username has 3–50 characters of `[A-Za-z0-9_.@-]` */
export function checkUsername(username: string): void {
  if (!USERNAME.test(username)) throw invalid(['body', 'username'], 'must be 3 to 50 characters of A-Z a-z 0-9 _ . @ -')
}

/** @throws validation_error unless the normalised address looks like one */
export function checkEmail(email: string): void {
  if (!isEmail(email)) throw invalid(['body', 'email'], 'must be an e-mail address')
}

/** True for a normalised address of at most 254 characters. */
export function isEmail(email: string): boolean {
  return email.length <= 254 && email.isWellFormed() && EMAIL.test(email)
}

/** True for text another service may have given as an id or a name: 1–128 characters, none of them a control. */
export function isPlainText(value: unknown): value is string {
  return (
    typeof value === 'string' && value.length > 0 && value.length <= 128 && value.isWellFormed() && !CONTROL.test(value)
  )
}
