/**
 * `tsnat iptables …` and its like: the words go to the gateway as they are, and what comes back goes to where the program itself would
 * write it. Before the words, and only there, `--name` and `--socket` choose the gateway; without them, TSNAT_NAME does.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createControlClient, type ControlClient } from '../api/client.js'
import type { PolicyAnswer, PolicyRequest, PolicyTool } from '../api/types.js'
import { refusal } from '../control/policy-tools.js'
import { fileReason } from '../file-reason.js'
import { ipInput } from '../policy/iproute/index.js'
import { ipsetInput, NO_SETS, runIpset } from '../policy/ipset/index.js'
import { emptyRuleset, parseRestoreArguments, parseSaveArguments, runIptables } from '../policy/iptables/index.js'
import { instancePattern, usageError } from './options.js'
import type { Terminal } from './terminal.js'
import { write } from './terminal.js'
import { INSTANCE_HELP, IP_HELP, IPSET_EXAMPLES, IPTABLES_EXAMPLES, RESTORE_HELP, SAVE_HELP } from './tools-help.js'

const OWN_OPTIONS = ['--name', '--socket']

interface Chosen {
  readonly client: ControlClient
  readonly words: readonly string[]
}

/** Takes the options that are tsnat's own off the beginning. */
const choose = (tool: PolicyTool, args: readonly string[]): Chosen => {
  const given: Record<string, string> = {}
  let at = 0
  for (; at < args.length; at++) {
    const [option, attached] = args[at]!.split(/=(.*)/s)
    if (!OWN_OPTIONS.includes(option!)) break
    const value = attached ?? args[++at]
    if (value === undefined) throw usageError(`${option} needs a value`, `write "tsnat ${tool} ${option} VALUE …"`)
    given[option!] = value
  }
  const name = given['--name'] ?? (process.env['TSNAT_NAME'] || 'default')
  if (!instancePattern.test(name)) throw usageError(`"${name}" is not the name of an instance`, 'a name is 1 to 15 characters out of a-z, 0-9 and "-"')
  return { client: createControlClient(name, given['--socket']), words: args.slice(at) }
}

const HELP = ['-h', '--help']
const VERSION = ['-V', '--version']

/** What needs no gateway to be answered; null for all else. */
const answerAlone = (tool: PolicyTool, words: readonly string[]): string | null => {
  const [first] = words
  if (first === undefined) return null
  const help = HELP.includes(first)
  switch (tool) {
    case 'iptables': return help || VERSION.includes(first) ? runIptables(emptyRuleset(), words).output + (help ? IPTABLES_EXAMPLES + INSTANCE_HELP : '') : null
    case 'iptables-save': return help ? SAVE_HELP + INSTANCE_HELP : null
    case 'iptables-restore': return help ? RESTORE_HELP + INSTANCE_HELP : null
    case 'ip': return help || first === 'help' ? IP_HELP + INSTANCE_HELP : null
    case 'ipset': {
      if (!help && first !== 'help') return null
      return runIpset(NO_SETS, ['help'], { now: 0, random: () => 0, referencesOf: () => 0 }).output + IPSET_EXAMPLES + INSTANCE_HELP
    }
  }
}

/** The file that the words are to read: null for none, '-' for standard input. @throws TsnatError for words that are not understood */
const inputOf = (tool: PolicyTool, words: readonly string[]): string | null => {
  switch (tool) {
    case 'iptables': return null
    case 'iptables-save':
      parseSaveArguments(words)
      return null
    case 'iptables-restore': return parseRestoreArguments(words).path ?? '-'
    case 'ip': return ipInput(words)
    case 'ipset': {
      const { reads, file } = ipsetInput(words)
      return reads ? (file ?? '-') : null
    }
  }
}

const readAll = async (input: AsyncIterable<Uint8Array | string>): Promise<string> => {
  const chunks: Buffer[] = []
  for await (const chunk of input) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString()
}

const failure = (errors: string): PolicyAnswer => ({ output: '', errors, exitCode: 1, file: null })

const ask = async (tool: PolicyTool, { client, words }: Chosen, terminal: Terminal): Promise<PolicyAnswer> => {
  let input: string | null
  try {
    input = inputOf(tool, words)
  } catch (error) {
    return refusal(tool, error)
  }
  const request: PolicyRequest = { tool, argv: words, input: null }
  if (input === null) return client.policy(request)
  if (input === '-') return client.policy({ ...request, input: { name: 'standard input', text: await readAll(terminal.in ?? process.stdin) } })
  let text: string
  try {
    text = readFileSync(input, 'utf8')
  } catch (error) {
    const reason = fileReason(error)
    return failure(tool === 'ip' ? `Cannot open file "${input}" for reading: ${reason}\n` : `${tool}: cannot read ${input}: ${reason}\n`)
  }
  return client.policy({ ...request, input: { name: input, text } })
}

/** Runs a command of a tool. @returns the tool's exit code. @throws TsnatError when no gateway can be asked */
export const runToolCommand = async (tool: PolicyTool, args: readonly string[], terminal: Terminal): Promise<number> => {
  const chosen = choose(tool, args)
  const alone = answerAlone(tool, chosen.words)
  const { output, errors, exitCode, file } = alone === null ? await ask(tool, chosen, terminal) : { output: alone, errors: '', exitCode: 0, file: null }
  if (errors !== '') await write(terminal.err, errors)
  if (file === null) {
    if (output !== '') await write(terminal.out, output)
    return exitCode
  }
  try {
    writeFileSync(file, output)
    return exitCode
  } catch (error) {
    await write(terminal.err, `${tool}: cannot write ${file}: ${fileReason(error)}\n`)
    return 1
  }
}
