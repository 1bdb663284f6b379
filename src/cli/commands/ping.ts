import { Command } from 'commander'
import { readPingRequest } from '../../api/socket-request.js'
import type { PingLine, PingRequest } from '../../api/socket-types.js'
import { clientFor, examples, namedInstanceOptions } from '../options.js'
import type { InstanceOptions } from '../options.js'
import { pingErrorText, pingText } from '../ping-text.js'
import { write } from '../terminal.js'
import type { Terminal } from '../terminal.js'

interface PingOptions extends InstanceOptions {
  count?: string
  interval?: string
  size?: string
  wait?: string
  source?: string
  mark?: string
  tos?: string
  ttl?: string
}

/** The exit codes of ping. */
const ANSWERED = 0
const UNANSWERED = 1
const TROUBLE = 2

/** After these the first request tells that none can leave. */
const HOPELESS: readonly string[] = ['ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL']

const HELP = `
The requests are sent by a socket of the running gateway: they meet its routing rules, routes and table OUTPUT, and have no flow. HOST is an
address; names are not looked up. Exit code 0 when there was an answer, 1 when there was none, 2 when nothing could be sent. Ctrl-C ends
it with the summary.`

const requestOf = (host: string, { count, interval, size, wait, source, mark, tos, ttl }: PingOptions): PingRequest =>
  readPingRequest(Object.fromEntries(Object.entries({ host, count, interval, size, wait, source, mark, tos, ttl }).filter(([, value]) => value !== undefined)))

const isHopeless = (line: PingLine): boolean => line.type === 'error' && (line.syscall === 'bind' || (line.sequence === 1 && HOPELESS.includes(line.code)))

const run = async (request: PingRequest, options: PingOptions, terminal: Terminal): Promise<number> => {
  const { json } = options
  const abort = new AbortController()
  const end = (): void => abort.abort()
  process.once('SIGINT', end).once('SIGTERM', end)
  let exitCode = TROUBLE
  try {
    for await (const batch of await clientFor(options).ping(request, abort.signal)) {
      for (const line of batch) {
        await write(terminal.out, json === true ? `${JSON.stringify(line)}\n` : pingText(request, line))
        if (line.type === 'error' && json !== true) terminal.err.write(pingErrorText(line.code, isHopeless(line) && line.syscall === 'send' ? 'connect' : line.syscall))
        if (isHopeless(line)) return TROUBLE
        if (line.type === 'ended') exitCode = line.received > 0 ? ANSWERED : UNANSWERED
      }
    }
    return exitCode
  } finally {
    // Whatever ended it, the gateway shall not go on pinging.
    end()
    process.off('SIGINT', end).off('SIGTERM', end)
  }
}

/** `tsnat ping` */
export const pingCommand = (terminal: Terminal, setExitCode: (code: number) => void): Command =>
  examples(
    namedInstanceOptions(new Command('ping'))
      .description('ping by a socket of the gateway\'s own, as ping does')
      .argument('<host>', 'address')
      .option('-c, --count <count>', 'end after so many')
      .option('-i, --interval <seconds>', 'between two requests: 1, at least 0.002')
      .option('-s, --size <bytes>', 'of data: 56')
      .option('-W, --wait <seconds>', 'how long the last request has, as long as there was no answer: 10')
      .option('-I, --source <address>', 'local address, one of the gateway\'s; else routes choose it')
      .option('-m, --mark <mark>', 'firewall mark of the packets, decimal or 0x…')
      .option('-Q, --tos <tos>', 'their TOS byte, decimal or 0x…')
      .option('-t, --ttl <ttl>', 'their TTL: 64')
      .option('-n, --numeric', 'always so: accepted for habit\'s sake')
      .option('--json', 'print an object a line, errors too')
      .addHelpText('after', HELP)
      .action(async (host: string, options: PingOptions) => {
        setExitCode(await run(requestOf(host, options), options, terminal))
      }),
    [
      ['tsnat ping -c 3 198.51.100.10', 'does it answer?'],
      ['tsnat ping -m 100 198.51.100.10', 'by the way that rules have for mark 100'],
      ['tsnat ping -c 1 -s 1472 198.51.100.10', 'a packet of 1500 bytes'],
      ['tsnat ping -c 5 -i 0.2 --json 198.51.100.10 | jq .time', 'for programs'],
    ],
  )
