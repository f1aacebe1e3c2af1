/** What a chatflow takes besides images, as its configuration at Flowise says. */
export interface UploadRules {
  /** Types of the documents whose text goes into the question; `any`, or null for none. */
  readonly documents: readonly string[] | 'any' | null
  /** Documents that are indexed for one chat. */
  readonly isIndexing: boolean
  /** Voice messages. */
  readonly isListening: boolean
}

/** Reads a public chatbot configuration; what it does not say is not allowed. */
export function readUploadRules(config: Record<string, unknown>): UploadRules {
  const full = membersOf(config['fullFileUpload'])
  const uploads = membersOf(config['uploads'])
  return {
    documents: full['status'] === true ? readTypes(full['allowedUploadFileTypes']) : null,
    isIndexing: uploads['isRAGFileUploadAllowed'] === true,
    isListening: uploads['isSpeechToTextEnabled'] === true
  }
}

function readTypes(types: unknown): readonly string[] | 'any' {
  if (typeof types !== 'string' || types.trim() === '') return 'any'
  return types.split(',').map((type) => type.trim().toLowerCase())
}

function membersOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
