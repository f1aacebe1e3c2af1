/** A server-sent event; Flowise's own framing has no id and one name for all. */
export interface TourEvent {
  id: string | undefined
  event: string
  data: unknown
}

/** The events of a whole stream; comments are no events, and neither is the end of one of OpenAI's. */
export function readEvents(text: string): TourEvent[] {
  return text.split('\n\n').flatMap((frame) => {
    const lines = frame.split('\n').map((line) => /^(id|event|data): ?(.*)$/.exec(line))
    const member = (name: string) => lines.find((line) => line?.[1] === name)?.[2]
    const data = member('data')
    if (data === undefined || data === '[DONE]') return []
    const parsed = JSON.parse(data) as { event: string; data: unknown }
    return [{ id: member('id'), event: member('event') ?? parsed.event, data: parsed.data }]
  })
}
