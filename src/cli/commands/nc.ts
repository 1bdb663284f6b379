import { Command, Option } from 'commander'
import { readSocketRequest } from '../../api/socket-request.js'
import type { SocketRequest } from '../../api/socket-types.js'
import { converse } from '../conversation.js'
import { clientFor, examples, namedInstanceOptions, usageError, wholeNumber } from '../options.js'
import type { InstanceOptions } from '../options.js'
import type { Terminal } from '../terminal.js'

interface NcOptions extends InstanceOptions {
  udp?: true
  listen?: true
  sourcePort?: string
  source?: string
  wait?: number
  shutdown?: true
  verbose?: true
  mark?: string
  tos?: string
}

const HELP = `
The words are those of OpenBSD's nc, but the socket is one of the running gateway: its packets meet the gateway's routing rules, routes and
table OUTPUT, leave by a WAN or the TUN, and have no flow. So this shows where traffic of the gateway itself goes, and as whom:

  tsnat iptables -t mangle -A OUTPUT -d 198.51.100.10 -j MARK --set-mark 100
  tsnat ip rule add fwmark 100 table 100
  tsnat ip route add default via 10.1.0.254 src 10.1.0.1 table 100
  tsnat nc -v 198.51.100.10 80          # tells its address: 10.1.0.1

It ends when standard input and the other side have ended; with -l, when the other side has. HOST is an address; names are not looked up. Exit
code 1 when the connection cannot be made, or breaks off.`

/** `HOST PORT`, or with -l `[ADDRESS] PORT`, where -p may name the port. */
const endsOf = (words: readonly string[], { listen, source, sourcePort }: NcOptions): { host?: string; port?: string; source?: string; sourcePort?: string } => {
  const local = { ...(source === undefined ? {} : { source }), ...(sourcePort === undefined ? {} : { sourcePort }) }
  const [first, second] = words
  if (listen !== true) {
    if (first === undefined || second === undefined) throw usageError('nc wants an address and a port', 'for example "tsnat nc 198.51.100.10 80", or "tsnat nc -l 8080" to listen')
    return { ...local, host: first, port: second }
  }
  const [address, port] = second === undefined ? [undefined, first] : [first, second]
  if (port !== undefined && sourcePort !== undefined) throw usageError(`two ports to listen on, ${sourcePort} and ${port}`, 'leave one of them out')
  if (address !== undefined && source !== undefined) throw usageError(`two addresses to listen on, ${source} and ${address}`, 'leave one of them out')
  const listening = port ?? sourcePort
  if (listening === undefined) throw usageError('nc -l wants a port', 'for example "tsnat nc -l 8080"')
  return { ...local, sourcePort: listening, ...(address === undefined ? {} : { source: address }) }
}

const requestOf = (words: readonly string[], options: NcOptions): SocketRequest => {
  const { udp, listen, mark, tos } = options
  if (listen === true && udp !== true && tos !== undefined) throw usageError('--tos is for what connects, and for UDP', 'leave it out, or set it in table mangle, chain OUTPUT')
  return readSocketRequest({
    protocol: udp === true ? 'udp' : 'tcp', ...endsOf(words, options), ...(mark === undefined ? {} : { mark }), ...(tos === undefined ? {} : { tos }),
  })
}

/** `tsnat nc` */
export const ncCommand = (terminal: Terminal, setExitCode: (code: number) => void): Command =>
  examples(
    namedInstanceOptions(new Command('nc'))
      .description('connect standard input and output by a socket of the gateway\'s own, as nc does')
      .argument('[host]', 'address to connect to; with -l, to listen on')
      .argument('[port]')
      .option('-u, --udp', 'UDP; what is read at once is a datagram, of at most 16384 bytes')
      .option('-l, --listen', 'wait for one connection, or for the first datagram')
      .option('-p, --source-port <port>', 'local port; with -l the one to listen on')
      .option('-s, --source <address>', 'local address, one of the gateway\'s; it stays, whatever rules say. Else routes choose it')
      .addOption(new Option('-w, --wait <seconds>', 'give up connecting, or end, when nothing has happened for so long').argParser(wholeNumber(1, 2_147_483)))
      .option('-N, --shutdown', 'end the connection\'s sending side (FIN) at the end of standard input')
      .option('-v, --verbose', 'tell addresses and ports on standard error')
      .option('-n, --numeric', 'always so: accepted for habit\'s sake')
      .option('--mark <mark>', 'firewall mark of the packets, decimal or 0x…')
      .option('--tos <tos>', 'their TOS byte, decimal or 0x…')
      .addHelpText('after', HELP)
      .action(async (host: string | undefined, port: string | undefined, options: NcOptions) => {
        const request = requestOf([host, port].filter((word) => word !== undefined), options)
        const stream = await clientFor(options).openSocket(request)
        const { wait = 0, shutdown = false, verbose = false } = options
        setExitCode(await converse(stream, { request, wait, shutdown, verbose }, terminal))
      }),
    [
      ['tsnat nc 198.51.100.10 80', 'connect'],
      ['echo hello | tsnat nc -N -v 198.51.100.10 7', 'send, end, print the answer and the own address'],
      ['tsnat nc -l 8080 > file', 'take what somebody sends to port 8080'],
      ['tsnat nc -u -w 2 198.51.100.10 53 < query', 'a datagram and its answers, for 2 seconds'],
      ['tsnat nc --mark 100 198.51.100.10 80', 'by the way that rules have for mark 100'],
      ['tsnat nc -s 10.1.0.1 -p 4000 198.51.100.10 80', 'from this address and port'],
    ],
  )
