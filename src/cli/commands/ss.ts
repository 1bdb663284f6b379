import { Command } from 'commander'
import type { SocketInfo } from '../../api/socket-types.js'
import { clientFor, examples, namedInstanceOptions } from '../options.js'
import type { InstanceOptions } from '../options.js'
import { socketLines } from '../ss-text.js'
import { writeLines } from '../terminal.js'
import type { Terminal } from '../terminal.js'

interface SsOptions extends InstanceOptions {
  tcp?: true
  udp?: true
  raw?: true
  listening?: true
  all?: true
  header: boolean
}

const KINDS = [['tcp', 'tcp'], ['udp', 'udp'], ['raw', 'icmp']] as const

const WAITING: readonly string[] = ['LISTEN', 'UNCONN']
/** What ss leaves out when it is asked for neither -l nor -a. */
const HIDDEN: readonly string[] = [...WAITING, 'TIME-WAIT', 'SYN-RECV']

const HELP = `
These are sockets of the gateway's own: of "tsnat nc" and "ping", of a redirector, of programs that have the gateway as a library. Those of the
host's kernel are shown by ss itself. Without -l and -a only connections are listed, as ss does. Addresses and ports are numbers.

Recv-Q: bytes that nobody has read yet; of a listener, connections that wait to be accepted. Send-Q: bytes that are not acknowledged; of a
listener, handshakes that are not done. Of a ping socket the port is the identifier of its requests.`

const order = (a: SocketInfo, b: SocketInfo): number =>
  a.protocol.localeCompare(b.protocol) || a.local.port - b.local.port || (a.remote?.port ?? 0) - (b.remote?.port ?? 0)

const run = async (options: SsOptions, terminal: Terminal): Promise<void> => {
  const { listening, all, json, header } = options
  const given = KINDS.filter(([option]) => options[option] === true).map(([, protocol]) => protocol)
  const wants = ({ protocol, state }: SocketInfo): boolean =>
    (given.length === 0 || given.includes(protocol)) && (all === true || (listening === true ? WAITING.includes(state) : !HIDDEN.includes(state)))
  const found: SocketInfo[] = []
  for await (const socket of clientFor(options).sockets()) if (wants(socket)) found.push(socket)
  found.sort(order)
  await writeLines(terminal.out, json === true ? [JSON.stringify(found, null, 2)] : socketLines(found, { withNetid: given.length !== 1, withHeading: header }))
}

/** `tsnat ss` */
export const ssCommand = (terminal: Terminal): Command =>
  examples(
    namedInstanceOptions(new Command('ss'))
      .description('list sockets of the gateway\'s own, as ss does')
      .option('-t, --tcp', 'TCP; with none of -t, -u and -w, all')
      .option('-u, --udp', 'UDP')
      .option('-w, --raw', 'ping')
      .option('-l, --listening', 'those that wait for somebody')
      .option('-a, --all', 'all of them')
      .option('-n, --numeric', 'always so: accepted for habit\'s sake')
      .option('-H, --no-header', 'without the first line')
      .option('--json', 'print JSON, errors too')
      .addHelpText('after', HELP)
      .action((options: SsOptions) => run(options, terminal)),
    [
      ['tsnat ss -ta', 'TCP, all states'],
      ['tsnat ss -lu', 'UDP sockets that are not connected'],
      ['tsnat ss -a --json | jq length', 'how many there are'],
    ],
  )
