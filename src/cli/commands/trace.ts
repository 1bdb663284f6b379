import { Command, Option } from 'commander'
import { readLiveTrace, readQuestion, type TraceWord, type TraceWords } from '../../api/trace-request.js'
import type { TraceLine } from '../../api/trace-types.js'
import type { ControlClient } from '../../api/client.js'
import { clientFor, examples, instanceOptions } from '../options.js'
import type { InstanceOptions } from '../options.js'
import { write } from '../terminal.js'
import type { Terminal } from '../terminal.js'
import { traceText, type TraceFormat } from '../trace-text.js'

/** The word, its option as help shows it, iptables' other names for it, what it means. */
const WORDS: readonly (readonly [word: TraceWord, flags: string, aliases: readonly string[], meaning: string])[] = [
  ['interface', '-i, --in-interface <name>', [], 'interface by which it comes; the LAN when absent, any with --live'],
  ['src', '-s, --source <address>', ['--src'], 'source address; with --live also a network'],
  ['dst', '-d, --destination <address>', ['--dst'], 'destination address; with --live also a network'],
  ['protocol', '-p, --protocol <protocol>', ['--proto'], 'tcp, udp, icmp, sctp, udplite, gre, esp, or a number'],
  ['sport', '--sport <port>', ['--source-port'], 'source port; 40000 when absent'],
  ['dport', '--dport <port>', ['--destination-port'], 'destination port'],
  ['icmpType', '--icmp-type <type>', [], 'echo-request, timestamp-request, or a number; with --live any type'],
  ['flags', '--tcp-flags <flags>', [], 'SYN, ACK, or several with commas; SYN when absent'],
  ['length', '--length <bytes>', [], 'length of the datagram; as short as can be when absent'],
  ['ttl', '--ttl <ttl>', [], 'TTL; 64 when absent'],
  ['tos', '--tos <tos>', [], 'TOS byte; 0 when absent'],
  ['mark', '--mark <mark>', [], 'mark that it comes with; 0 when absent'],
  ['new', '--new', [], 'as if no flow had its tuple'],
  ['count', '-c, --count <packets>', [], 'with --live: end after so many'],
]

type Values = Readonly<Record<string, string | boolean | undefined>>

const wordOptions = WORDS.map(([word, flags, aliases, meaning]) => {
  const option = new Option(flags, meaning)
  const [, argument = ''] = / (<\S+)$/.exec(flags) ?? []
  return { word, label: option.long ?? flags, options: [option, ...aliases.map((alias) => new Option(`${alias} ${argument}`).hideHelp())] }
})
const LABELS = new Map(wordOptions.map(({ word, label }) => [word, label]))
const labelOf = (word: TraceWord): string => LABELS.get(word)!

const readWords = (values: Values): TraceWords =>
  Object.fromEntries(wordOptions.flatMap(({ word, options }): [string, string][] => {
    const value = options.map((option) => values[option.attributeName()]).find((one) => one !== undefined)
    return value === undefined ? [] : [[word, value === true ? '' : String(value)]]
  }))

/** Prints packets until a signal, the count, or the end of the gateway. */
const follow = async (client: ControlClient, words: TraceWords, text: (line: TraceLine) => string, json: boolean, { out, err }: Terminal): Promise<void> => {
  const abort = new AbortController()
  const end = (): void => abort.abort()
  process.once('SIGINT', end).once('SIGTERM', end)
  let packets = 0
  let missed = 0
  try {
    for await (const batch of await client.traceLive(words, abort.signal)) {
      for (const line of batch) {
        if (line.type === 'missed') missed += line.count
        else packets++
      }
      await write(out, batch.map(text).join(''))
    }
  } finally {
    // Whatever ended it, the gateway shall not go on tracing.
    end()
    process.off('SIGINT', end).off('SIGTERM', end)
  }
  if (!json) err.write(`${packets} packet${packets === 1 ? '' : 's'} traced${missed === 0 ? '' : `, ${missed} missed`}\n`)
}

const run = async (values: Values & InstanceOptions, terminal: Terminal): Promise<void> => {
  const json = values.json === true
  const words = readWords(values)
  const isLive = values['live'] === true
  // Read here for errors in the words of the command line; the gateway reads them again.
  if (isLive) readLiveTrace(words, labelOf)
  else readQuestion(words, labelOf)
  const format: TraceFormat = { brief: values['brief'] === true, timed: isLive }
  const text = (line: TraceLine): string => {
    if (json) return `${JSON.stringify(line)}\n`
    return line.type === 'missed' ? '' : `${traceText(line, format, terminal.out)}${isLive ? '\n' : ''}`
  }
  const client = clientFor(values)
  if (isLive) await follow(client, words, text, json, terminal)
  else await write(terminal.out, text(await client.trace(words)))
}

/** `tsnat trace` */
export const traceCommand = (terminal: Terminal): Command => {
  const command = instanceOptions(new Command('trace'))
    .description('tell what becomes of a packet: hook by hook, rule by rule, each route that is looked up, what is changed, why it is dropped')
    .option('--live', 'of packets that pass, until Ctrl-C; the other options say which')
    .option('--brief', 'leave out rules that do not match, and what routes were looked at')
  for (const { options } of wordOptions) for (const option of options) command.addOption(option)
  return examples(command, [
    ['tsnat trace -s 10.77.0.2 -d 198.51.100.10 -p tcp --dport 443', 'what would become of this SYN?'],
    ['tsnat trace -i eth0 -s 198.51.100.10 -d 203.0.113.1 -p udp --dport 53', 'of a packet from outside'],
    ['tsnat trace --live -s 10.77.0.0/24 -p udp --dport 53 -c 10', 'ten DNS questions as they pass'],
    ['tsnat trace --live --json | jq .result', 'for programs'],
  ]).action((values: Values & InstanceOptions) => run(values, terminal))
}
