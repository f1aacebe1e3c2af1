/** Members of Flowise's chatbot configuration that clients need to draw a chat window; everything else stays behind. */
const SHOWN = [
  'title',
  'titleAvatarSrc',
  'titleBackgroundColor',
  'titleTextColor',
  'welcomeMessage',
  'errorMessage',
  'backgroundColor',
  'fontSize',
  'poweredByTextColor',
  'botMessage',
  'userMessage',
  'textInput',
  'starterPrompts',
  'renderHTML',
  'showAgentMessages',
  'generateNewSession',
  'chatFeedback',
  'leads',
  'uploads',
  'isTTSEnabled'
] as const

/** Reduces a chatbot configuration by allow-list; what is not an object (Flowise's text `OK`) becomes an empty one. */
export function reduceChatbotConfig(config: unknown): Record<string, unknown> {
  if (!isObject(config)) return {}
  const reduced: Record<string, unknown> = {}
  for (const name of SHOWN) if (config[name] !== undefined) reduced[name] = config[name]
  // The rest of followUpPrompts holds the prompt and the credential it is asked with.
  const { followUpPrompts } = config
  if (isObject(followUpPrompts) && followUpPrompts['status'] !== undefined)
    reduced['followUpPrompts'] = { status: followUpPrompts['status'] }
  return reduced
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
