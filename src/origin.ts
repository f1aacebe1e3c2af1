const FORM = /^https?:\/\/[a-z0-9.:[\]-]+$/

/** An origin of web pages as it is compared, in lower case; undefined for what is none of http or https in its exact form. */
export function normalOrigin(text: string): string | undefined {
  const origin = text.toLowerCase()
  return FORM.test(origin) && URL.canParse(origin) && new URL(origin).origin === origin ? origin : undefined
}
