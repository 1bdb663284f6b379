import { Command, Option } from 'commander'
import { readRedirect } from '../../api/redirect.js'
import { REDIRECT_PORT, REDIRECT_PROTOCOLS, REDIRECT_WAYS, type RedirectWay } from '../../redirect/settings.js'
import { clientFor, examples, instanceOptions, usageError, wholeNumber } from '../options.js'
import type { InstanceOptions } from '../options.js'
import { redirectLineText } from '../redirect-text.js'
import { write } from '../terminal.js'
import type { Terminal } from '../terminal.js'

interface RedirectOptions extends InstanceOptions {
  to: string
  tcp?: true
  udp?: true
  by: RedirectWay
  port: number
  exclude?: string[]
  rules: boolean
  interval: number
}

const HELP = `
Connections and datagrams that clients behind the gateway send are taken, whoever they are for, and relayed through the proxy. The clients
need no settings, and see the addresses that they asked for. The proxy is reached by the gateway's own sockets, which follow its routes and
rules and are never taken themselves; a proxy on this host by the host's.

With --by tproxy packets are not changed on their way in; with --by redirect table nat sends them to the listeners. Either way the rules
stand in a chain of their own, TSNAT_REDIRECT_PORT, behind rules of yours in PREROUTING: what those accept is not taken. See them with
"tsnat iptables -t mangle -S" (-t nat for redirect). With --no-rules there are only listeners, at all addresses; lines of yours lead there:

  tsnat iptables -t nat -A PREROUTING -p tcp -j REDIRECT --to-ports ${REDIRECT_PORT}
  tsnat iptables -t mangle -A PREROUTING -p udp -j TPROXY --on-port ${REDIRECT_PORT} --tproxy-mark 0x1/0x1
  tsnat ip rule add fwmark 0x1/0x1 table 100
  tsnat ip route add local default dev lo table 100

When the proxy cannot be reached, or refuses, TCP clients get a RST. Ctrl-C removes listeners and rules; open connections get a RST, too.
To have it always, write it into the configuration: key "redirect".`

const several = (text: string, earlier: string[] | undefined): string[] => [...(earlier ?? []), text]

const run = async (options: RedirectOptions, terminal: Terminal): Promise<void> => {
  const { to, by, port, exclude = [], rules, interval, json } = options
  if (!rules && exclude.length > 0) throw usageError('--exclude is for the rules that are added, and --no-rules adds none', 'leave one of them out')
  const given = REDIRECT_PROTOCOLS.filter((protocol) => options[protocol] === true)
  const protocols = given.length > 0 ? given : REDIRECT_PROTOCOLS
  // Read as the gateway will, for errors in the words of the command line.
  const request = readRedirect({
    to, by, protocols: protocols.join(','), port: String(port), exclude: exclude.join(','), rules: rules ? 'yes' : 'no', interval: String(interval),
  })
  const abort = new AbortController()
  const end = (): void => abort.abort()
  process.once('SIGINT', end).once('SIGTERM', end).once('SIGHUP', end)
  try {
    for await (const batch of await clientFor(options).redirect(request, abort.signal)) {
      for (const line of batch) await write(terminal.out, json === true ? `${JSON.stringify(line)}\n` : redirectLineText(line, Date.now()))
    }
  } finally {
    // Whatever ended it, the gateway shall not go on redirecting.
    end()
    process.off('SIGINT', end).off('SIGTERM', end).off('SIGHUP', end)
  }
}

/** `tsnat redirect` */
export const redirectCommand = (terminal: Terminal): Command =>
  examples(
    instanceOptions(new Command('redirect'))
      .description('relay the traffic of a running gateway through a SOCKS5 proxy, until Ctrl-C')
      .requiredOption('--to <socks5://…>', 'the proxy: socks5://[user:password@]host[:port]; %-codes for odd characters')
      .option('--tcp', 'relay TCP connections; with neither --tcp nor --udp, both')
      .option('--udp', 'relay UDP datagrams (UDP ASSOCIATE)')
      .addOption(new Option('--by <way>', 'how traffic is taken').choices([...REDIRECT_WAYS]).default('tproxy'))
      .addOption(new Option('--port <port>', 'port of the listeners').default(REDIRECT_PORT).argParser(wholeNumber(1, 65535)))
      .option('--exclude <cidr>', 'destinations that are left alone; repeatable. That of the proxy and tsnat\'s own always are', several)
      .option('--no-rules', 'only listen: rules of yours lead traffic there')
      .addOption(new Option('--interval <seconds>', 'print counters so often, when they have changed').default(10).argParser(wholeNumber(1, 3600)))
      .addHelpText('after', HELP)
      .action((options: RedirectOptions) => run(options, terminal)),
    [
      ['tsnat redirect --tcp --udp --to socks5://192.0.2.1:1080', 'everything, until Ctrl-C'],
      ['tsnat redirect --tcp --to socks5://me:secret@192.0.2.1 --exclude 10.0.0.0/8', 'TCP, but not to 10.0.0.0/8'],
      ['tsnat redirect --by redirect --port 12345 --to socks5://192.0.2.1', 'by REDIRECT'],
      ['tsnat redirect --no-rules --to socks5://192.0.2.1', 'for rules of yours'],
      ['tsnat redirect --to socks5://192.0.2.1 --json | jq .tcp', 'for programs'],
    ],
  )
