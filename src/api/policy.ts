/** Reads what comes to `POST /policy`. */
import { ExitCode, TsnatError } from '../errors.js'
import { POLICY_TOOLS, type PolicyRequest } from './types.js'

const bad = (message: string): TsnatError =>
  new TsnatError(message, { code: 'BAD_REQUEST', hint: `write {"tool": …, "argv": […], "input": null}; tools are ${POLICY_TOOLS.join(', ')}`, exitCode: ExitCode.usage })

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    throw bad('the request is not JSON')
  }
}

const isMapping = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

const inputOf = (value: unknown): PolicyRequest['input'] => {
  if (value === undefined || value === null) return null
  if (!isMapping(value) || typeof value['name'] !== 'string' || typeof value['text'] !== 'string') throw bad('"input" is not {"name": …, "text": …}')
  return { name: value['name'], text: value['text'] }
}

/** @throws TsnatError BAD_REQUEST */
export const readPolicyRequest = (text: string): PolicyRequest => {
  const value = parse(text)
  if (!isMapping(value)) throw bad('the request is not an object')
  const { tool: name, argv, input } = value
  const tool = POLICY_TOOLS.find((one) => one === name)
  if (tool === undefined) throw bad(`there is no tool ${JSON.stringify(name)}`)
  if (!Array.isArray(argv) || !argv.every((word): word is string => typeof word === 'string')) throw bad('"argv" is not a list of words')
  return { tool, argv, input: inputOf(input) }
}
