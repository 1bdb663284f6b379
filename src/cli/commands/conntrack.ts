import { Command, Option } from 'commander'
import { formatConntrack, formatConntrackEvent } from '../../api/conntrack.js'
import type { ConntrackFormat } from '../../api/conntrack.js'
import { readFlowFilter } from '../../api/filter.js'
import { FLOW_EVENT_TYPES } from '../../api/types.js'
import type { EventRequest, FlowEvent, FlowEventType, FlowFilter, FlowRecord } from '../../api/types.js'
import { ExitCode } from '../../errors.js'
import { version } from '../../version.js'
import type { ControlClient } from '../../api/client.js'
import { clientFor, examples, instanceOptions, usageError } from '../options.js'
import type { InstanceOptions } from '../options.js'
import { write, writeLines } from '../terminal.js'
import type { Terminal } from '../terminal.js'

/** Key of FlowFilter, the option as help shows it, conntrack's other names for it, what it means. */
const FILTERS: readonly (readonly [key: keyof FlowFilter, flags: string, aliases: readonly string[], meaning: string])[] = [
  ['protocol', '-p, --proto <protocol>', ['--protonum'], 'tcp, udp, icmp, sctp, udplite, gre, esp, or a number'],
  ['origSrc', '-s, --orig-src <prefix>', ['--src'], 'source address of the original direction, or its network'],
  ['origDst', '-d, --orig-dst <prefix>', ['--dst'], 'destination address of the original direction'],
  ['replySrc', '-r, --reply-src <prefix>', [], 'source address of the replies'],
  ['replyDst', '-q, --reply-dst <prefix>', [], 'destination address of the replies: the external address'],
  ['origPortSrc', '--sport, --orig-port-src <port>', [], 'source port of the original direction'],
  ['origPortDst', '--dport, --orig-port-dst <port>', [], 'destination port of the original direction'],
  ['replyPortSrc', '--reply-port-src <port>', [], 'source port of the replies'],
  ['replyPortDst', '--reply-port-dst <port>', [], 'destination port of the replies: the external port'],
  ['state', '--state <state>', [], 'state of TCP or SCTP, for example ESTABLISHED'],
  ['mark', '-m, --mark <mark>', [], 'mark of the flow'],
  ['srcNat', '-n, --src-nat [prefix]', [], 'flows with a translated source, translated to this address'],
]

type Values = Readonly<Record<string, string | boolean | undefined>>

/** conntrack allows its table name after a command; tsnat has that one table. */
const commandOption = (flags: string, meaning: string): Option =>
  new Option(`${flags} [table]`, meaning).argParser((text) => {
    if (text === 'conntrack') return true
    throw usageError(`there is no table "${text}"`, 'the only table is conntrack, and it need not be named')
  })

/** The word by which a parsed option is found: `--orig-port-src` → origPortSrc. */
const attribute = (option: Option): string => option.attributeName()

const filterOptions = FILTERS.map(([key, flags, aliases, meaning]) => {
  const option = new Option(flags, meaning)
  const [, argument = ''] = /(\S+)$/.exec(flags) ?? []
  return { key, label: option.long ?? flags, options: [option, ...aliases.map((alias) => new Option(`${alias} ${argument}`).hideHelp())] }
})

const readFilter = (values: Values): FlowFilter => {
  const words: Record<string, string | undefined> = {}
  const labels: Record<string, string> = {}
  for (const { key, label, options } of filterOptions) {
    const value = options.map((option) => values[attribute(option)]).find((one) => one !== undefined)
    // `-n` alone: translated to whatever address.
    words[key] = value === true ? '0.0.0.0/0' : typeof value === 'string' ? value : undefined
    labels[key] = label
  }
  return readFlowFilter(words, (key) => labels[key] ?? key)
}

const readFormat = (output: string | undefined): ConntrackFormat => {
  const words = output?.split(',') ?? []
  const unknown = words.find((word) => word !== 'extended' && word !== 'id' && word !== 'timestamp')
  if (unknown !== undefined) {
    throw usageError(`--output: "${unknown}" is not known`, 'extended, id, timestamp, or several with commas; JSON with --json')
  }
  return { extended: words.includes('extended'), id: words.includes('id'), timestamp: words.includes('timestamp') }
}

/** conntrack's words for kinds of events. */
const EVENT_WORDS: Readonly<Record<string, readonly FlowEventType[]>> = {
  NEW: ['new'], UPDATES: ['update'], DESTROY: ['destroy'], ALL: FLOW_EVENT_TYPES,
}

const readTypes = (mask: string | undefined): FlowEventType[] => {
  const words = mask?.toUpperCase().split(',') ?? ['ALL']
  const unknown = words.find((word) => !Object.hasOwn(EVENT_WORDS, word))
  if (unknown !== undefined) throw usageError(`--event-mask: "${unknown}" is no kind of event`, `one or several of ${Object.keys(EVENT_WORDS).join(', ')}, with commas`)
  return [...new Set(words.flatMap((word) => EVENT_WORDS[word]!))]
}

/** What is printed of an event: a line, or nothing. */
const eventLine = (event: FlowEvent, format: ConntrackFormat, json: boolean): string => {
  if (json) return `${JSON.stringify(event)}\n`
  return event.type === 'lost' ? '' : `${formatConntrackEvent(event, format)}\n`
}

/** Prints events until a signal, or the end of the gateway. */
const follow = async (client: ControlClient, request: EventRequest, format: ConntrackFormat, json: boolean, { out, err }: Terminal): Promise<void> => {
  const abort = new AbortController()
  const end = (): void => abort.abort()
  process.once('SIGINT', end).once('SIGTERM', end)
  let count = 0
  try {
    for await (const batch of await client.events(request, abort.signal)) {
      await write(out, batch.map((event) => eventLine(event, format, json)).join(''))
      for (const event of batch) {
        if (event.type !== 'lost') count++
        else if (!json) err.write(`WARNING: ${event.count} events have been lost: they came faster than they were read.\n`)
      }
    }
  } finally {
    // Whatever ended it, the gateway shall not go on telling.
    end()
    process.off('SIGINT', end).off('SIGTERM', end)
  }
  if (!json) err.write(`conntrack v${version()} (tsnat): ${count} flow events have been shown.\n`)
}

async function* map<T>(items: AsyncIterable<T>, text: (item: T) => string): AsyncGenerator<string> {
  for await (const item of items) yield text(item)
}

/** A JSON array with one element a line; `counted` is told of each. */
async function* jsonLines(flows: AsyncIterable<FlowRecord>, counted: () => void): AsyncGenerator<string> {
  let before = '['
  for await (const flow of flows) {
    yield `${before}${JSON.stringify(flow)}`
    before = ','
    counted()
  }
  yield before === '[' ? '[]' : ']'
}

/** @returns how many there were */
const printJson = async (flows: AsyncIterable<FlowRecord>, { out }: Terminal): Promise<number> => {
  let count = 0
  await writeLines(out, jsonLines(flows, () => count++))
  return count
}

/** @param done what happened to the flows, for the summary; @returns how many there were */
const printText = async (flows: AsyncIterable<FlowRecord>, format: ConntrackFormat, done: string, { out, err }: Terminal): Promise<number> => {
  const count = await writeLines(out, map(flows, (flow) => formatConntrack(flow, format)))
  err.write(`conntrack v${version()} (tsnat): ${count} flow entries have been ${done}.\n`)
  return count
}

const run = async (values: Values & InstanceOptions, terminal: Terminal, setExitCode: (code: ExitCode) => void): Promise<void> => {
  const { dump, count, delete: remove, event } = values
  if ([dump, count, remove, event].filter((one) => one !== undefined).length !== 1) {
    const hint = 'list with -L, count with -C, delete with -D, follow with -E; see "tsnat conntrack --help"'
    throw usageError('conntrack wants exactly one of -L, -C, -D and -E', hint)
  }
  const filter = readFilter(values)
  const format = readFormat(values['output'] as string | undefined)
  const client = clientFor(values)
  const json = values.json === true
  const print = (flows: AsyncIterable<FlowRecord>, done: string): Promise<number> =>
    json ? printJson(flows, terminal) : printText(flows, format, done, terminal)
  if (event !== undefined) {
    await follow(client, { filter, types: readTypes(values['eventMask'] as string | undefined) }, format, json, terminal)
  } else if (count !== undefined) {
    if (Object.keys(filter).length > 0) {
      const hint = 'list with -L and the filter; the last line on standard error says how many there were'
      throw usageError('conntrack -C counts all flows and takes no filter', hint)
    }
    const flows = await client.flowCount()
    await write(terminal.out, json ? `${JSON.stringify({ count: flows })}\n` : `${flows}\n`)
  } else if (remove !== undefined) {
    const deleted = await print(client.deleteFlows(filter), 'deleted')
    // conntrack(8) fails when there was nothing to delete; scripts rely on it.
    if (deleted === 0) setExitCode(ExitCode.failure)
  } else {
    await print(client.flows(filter), 'shown')
  }
}

/** `tsnat conntrack` */
export const conntrackCommand = (terminal: Terminal, setExitCode: (code: ExitCode) => void): Command => {
  const command = instanceOptions(new Command('conntrack'))
    .description("list, count, delete or follow flows, with conntrack(8)'s options and output")
    .addOption(commandOption('-L, --dump', 'list flows'))
    .addOption(commandOption('-C, --count', 'print how many flows there are'))
    .addOption(commandOption('-D, --delete', 'delete flows and print them; exit code 1 when there were none'))
    .addOption(commandOption('-E, --event', 'print what becomes of flows, until Ctrl-C'))
    .option('-e, --event-mask <list>', 'with -E: NEW, UPDATES, DESTROY or ALL')
    .addOption(new Option('-b, --buffer-size <bytes>', "without effect, for conntrack's sake").hideHelp())
    .addOption(new Option('-f, --family <family>', 'network protocol').choices(['ipv4']))
    .option('-o, --output <list>', 'extended: show the network protocol; id: the identity of the flow; timestamp: when it happened, with -E')
  for (const { options } of filterOptions) for (const option of options) command.addOption(option)
  return examples(command, [
    ['tsnat conntrack -L', 'all flows'],
    ['tsnat conntrack -L -p tcp --state ESTABLISHED', 'established TCP connections'],
    ['tsnat conntrack -L -s 10.77.0.0/24 --dport 443', 'who speaks HTTPS'],
    ['tsnat conntrack -D -p udp -d 198.51.100.10', 'forget UDP flows to that server'],
    ['tsnat conntrack -E -e NEW,DESTROY -o timestamp', 'flows that begin and end, as it happens'],
    ['tsnat conntrack -L --json | jq length', 'for programs'],
  ]).action((values: Values & InstanceOptions) => run(values, terminal, setExitCode))
}
