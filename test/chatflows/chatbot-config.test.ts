import t from 'tap'
import { reduceChatbotConfig } from '../../src/chatflows/chatbot-config.ts'

t.test('only what draws a chat window is left of a configuration', async (t) => {
  const reduced = reduceChatbotConfig({
    title: 'Support',
    starterPrompts: { 0: { prompt: 'Hello' } },
    chatFeedback: { status: true },
    isTTSEnabled: false,
    followUpPrompts: { status: true, selectedProvider: 'openai', openai: { credentialId: 'x', prompt: 'secret' } },
    flowData: '{"nodes":[]}',
    postProcessing: { customFunction: 'code' },
    allowedOrigins: ['https://a'],
    rateLimit: { limitMax: 1 }
  })
  t.strictSame(reduced, {
    title: 'Support',
    starterPrompts: { 0: { prompt: 'Hello' } },
    chatFeedback: { status: true },
    isTTSEnabled: false,
    followUpPrompts: { status: true }
  })
})

t.test('what is not an object is an empty configuration', async (t) => {
  for (const config of ['OK', null, undefined, 7, ['a']]) t.strictSame(reduceChatbotConfig(config), {})
})
