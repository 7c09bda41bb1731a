// The models that the test server knows.
export const DEMO = {
  provider: 'demo',
  id: 'demo',
  name: 'Scripted demo',
  api: 'scripted',
  contextWindow: 200_000,
  maxTokens: 8192,
  reasoning: false,
  images: false,
  demo: true,
}
export const MODELS = [
  {
    provider: 'anthropic',
    id: 'claude-sonnet-4-5',
    name: 'Claude Sonnet 4.5',
    api: 'anthropic-messages',
    contextWindow: 200_000,
    maxTokens: 64_000,
    reasoning: true,
    images: true,
  },
  {
    provider: 'anthropic',
    id: 'claude-haiku-4-5',
    name: 'Claude Haiku 4.5',
    api: 'anthropic-messages',
    contextWindow: 200_000,
    maxTokens: 64_000,
    reasoning: true,
    images: true,
  },
  {
    provider: 'openai',
    id: 'gpt-5.1',
    name: 'GPT-5.1',
    api: 'openai-completions',
    contextWindow: 400_000,
    maxTokens: 128_000,
    reasoning: true,
    images: true,
  },
]

/** Providers, with the keys that there are. */
export const providersOf = (keys) =>
  [
    ['anthropic', 'Anthropic', 'ANTHROPIC_API_KEY'],
    ['openai', 'OpenAI', 'OPENAI_API_KEY'],
    ['openrouter', 'OpenRouter', 'OPENROUTER_API_KEY'],
    ['groq', 'Groq', 'GROQ_API_KEY'],
  ].map(([id, name, envVar]) => {
    const key = keys.get(id)
    return {
      id,
      name,
      api: id === 'anthropic' ? 'anthropic-messages' : 'openai-completions',
      configured: Boolean(key),
      source: key?.source ?? null,
      envVar,
      file: null,
      problem: null,
      keyHint: key?.hint ?? null,
      baseUrl: null,
      models: MODELS.filter((m) => m.provider === id).length,
    }
  })
