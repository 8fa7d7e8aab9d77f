// Vercel's AI SDK against a gateway. Arguments: package folder, base URL, key, key name. A failed assertion exits with 1.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [packages, base, key, keyName] = process.argv.slice(2)
const require = createRequire(join(packages, 'package.json'))
const load = (name) => import(pathToFileURL(require.resolve(name)))
const { generateText, streamText, embedMany, tool, jsonSchema, stepCountIs } = await load('ai')
const { createOpenAI } = await load('@ai-sdk/openai')
const { createAnthropic } = await load('@ai-sdk/anthropic')
const { createAmazonBedrock } = await load('@ai-sdk/amazon-bedrock')

const openai = createOpenAI({ baseURL: `${base}/v1`, apiKey: key })
const anthropic = createAnthropic({ baseURL: `${base}/v1`, apiKey: key })
const bedrock = createAmazonBedrock({ baseURL: base, region: 'us-east-1', accessKeyId: keyName, secretAccessKey: key })
const providers = {
  'openai chat': (model) => openai.chat(model),
  'openai responses': (model) => openai.responses(model),
  anthropic: (model) => anthropic(model),
  bedrock: (model) => bedrock(model),
}
const getWeather = tool({
  description: 'Weather of a city',
  inputSchema: jsonSchema({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }),
  execute: async ({ city }) => `rain in ${city}`,
})

for (const [name, modelOf] of Object.entries(providers)) {
  const plain = await generateText({ model: modelOf('scripted.echo-v1:0'), prompt: 'Grüezi', maxRetries: 0 })
  assert.equal(plain.text, 'Grüezi', name)
  assert.equal(plain.finishReason, 'stop', name)
  assert.ok(plain.usage.outputTokens > 0, name)

  const stream = streamText({ model: modelOf('scripted.echo-v1:0'), prompt: 'Grüezi', maxRetries: 0 })
  let text = ''
  for await (const piece of stream.textStream) text += piece
  assert.equal(text, 'Grüezi', name)

  const loop = { prompt: 'Weather?', tools: { get_weather: getWeather }, stopWhen: stepCountIs(3), maxRetries: 0 }
  for (const scene of ['tools', 'thinking']) {
    const complete = await generateText({ model: modelOf(`scripted.${scene}-v1:0`), ...loop })
    assert.equal(complete.steps.length, 2, `${name} ${scene}`)
    assert.match(complete.text, /rain in sample/, `${name} ${scene}`)
    const streamedLoop = streamText({ model: modelOf(`scripted.${scene}-v1:0`), ...loop })
    assert.match(await streamedLoop.text, /rain in sample/, `${name} ${scene} stream`)
    assert.equal((await streamedLoop.steps).length, 2, `${name} ${scene} stream`)
  }
}

const { embeddings } = await embedMany({
  model: openai.embedding('amazon.titan-embed-text-v2:0'),
  values: ['one', 'two'],
  maxRetries: 0,
})
assert.equal(embeddings.length, 2)
assert.ok(embeddings[0].length > 0)
