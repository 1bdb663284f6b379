/**
 * The flags of `tsnat up` as a configuration. A flag is the kebab-case of its key in the file (`--lan-address` is
 * lanAddress); nothing is checked here but the form, so that file and flags obey one schema. Each value remembers the
 * flag that gave it, for error messages.
 */
import { Option } from 'commander'
import type { Command } from 'commander'
import type { RawConfig } from '../../config-file.js'
import type { ConfigPlace, LocateConfig } from '../../config.js'
import { usageError } from '../options.js'

export interface UpFlags {
  name?: string
  wan?: string[]
  wanDriver?: string
  wanAddress?: string
  wanGateway?: string
  deadFlows?: string
  ports?: string
  lan?: string
  lanAddress?: string
  lanMtu?: string
  capture?: string
  netns?: string
  importKernelRoutes?: boolean
  mssClamp?: boolean
  lanOffload?: 'on' | 'off'
  wanOffload?: 'on' | 'off'
  profile?: string
  nat?: string[]
  natRule?: string[]
  forward?: string[]
  rules?: string
  ipset?: string
  ipBatch?: string
  timeout?: string[]
  limit?: string[]
  fault?: string[]
  logLevel?: string
  logFormat?: string
  logBindings?: string
  logDestinations?: boolean
  logSyslog?: string
  logNflog?: string
  socket?: string
  busyPoll?: string
}

const several = (text: string, earlier: string[] | undefined): string[] => [...(earlier ?? []), text]
const onOff = (flags: string, meaning: string): Option => new Option(`${flags} <on|off>`, meaning).choices(['on', 'off'])

/** Adds the flags to a command. */
export const addUpFlags = (command: Command): Command =>
  command
    .option('--wan <interface[,key=value…]>', 'interface towards the Internet; repeatable, as eth1,weight=2,gateway=192.0.2.254,check=icmp:192.0.2.1', several)
    .option('--lan <interface>', 'TUN interface to create (tun0)')
    .option('-N, --name <name>', 'name of this instance (default)')
    .optionsGroup('What enters:')
    .option('--lan-address <address/length>', "the kernel's end of the TUN (10.77.0.2/24); the first address of the subnet is tsnat's")
    .option('--lan-mtu <bytes>', 'MTU of the TUN (that of the WAN)')
    .option('--capture <what>', 'default: all that would take the default route; none; iif=br0,lan1: what arrives there (default)')
    .option('--netns <name|path|pid>', 'put the TUN into this network namespace')
    .optionsGroup('How it leaves:')
    .option('--wan-driver <driver>', 'packet: packet socket, fast; raw: raw IP sockets, the kernel routes (packet)')
    .option('--wan-address <which>', "shared: the kernel's own; owned:198.51.100.7/24,…: tsnat's alone (shared)")
    .option('--wan-gateway <address>', 'next hop for owned addresses (that of the default route)')
    .option('--import-kernel-routes', "follow all of the kernel's main table, not only what forwarding needs")
    .addOption(new Option('--dead-flows <what>', 'TCP flows of a WAN that works no more: reset, icmp or leave (reset)'))
    .option('--ports <ranges>', 'external ports, such as 512-599,36864-60999 (chosen by the kind of address)')
    .option('--mss-clamp', "lower the MSS of TCP SYNs to what the WAN's MTU carries (on)")
    .option('--no-mss-clamp', 'leave the MSS alone')
    .addOption(onOff('--lan-offload', 'checksum and segmentation offloads of the TUN (on)'))
    .addOption(onOff('--wan-offload', 'the same for the packet socket (on)'))
    .option('--busy-poll <microseconds>', 'look so long for more packets before sleeping (50)')
    .optionsGroup('Flows:')
    .option('--profile <name>', "behave: as the RFCs ask; linux: as the kernel's masquerade (behave)")
    .option('--nat <name=value>', 'udp.mapping=address-dependent, tcp.window=false, ports.selection=random …; repeatable', several)
    .option('--nat-rule <key=value,…>', 'flows that behave otherwise: from=10.77.0.0/24,protocol=udp,mapping=shared; repeatable', several)
    .option('--forward <proto:port:address:port>', 'lead an outside port to an inside host: tcp:8080:10.77.0.2:80, or a protocol: gre:10.77.0.2; repeatable', several)
    .option('--rules <file>', 'rules to begin with, in the format of iptables-save, counters included')
    .option('--ipset <file>', 'sets that they name, in the format of "ipset save"')
    .option('--ip-batch <file>', 'routing rules and routes to begin with, in the format of "ip -batch"')
    .option('--timeout <class=seconds>', 'udp, udp-stream, icmp, tcp-syn-sent, tcp-established, tcp-close … as in sysctl; repeatable', several)
    .option('--limit <name=value>', 'flows, flows-per-source, half-open, refusal …; repeatable', several)
    .optionsGroup('Running:')
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent (info)')
    .option('--log-format <format>', 'auto, json or pretty (auto: pretty on a terminal)')
    .option('--log-bindings <what>', 'log who has which outside port: off, mappings, flows or blocks (off)')
    .option('--log-destinations', 'tell whom flows speak to in these lines')
    .option('--log-syslog <target>', 'send these lines to unix:/dev/log or udp:HOST:PORT instead (off)')
    .option('--log-nflog <directory>', 'write packets of NFLOG rules to capture files there (to the log)')
    .option('--socket <path>', 'control socket (/run/tsnat/NAME/control.sock)')
    .option('--fault <side.direction.kind=value>', 'for tests: lan.in.loss=0.05, wan.out.reorder=0.1 …; repeatable', several)

const camel = (word: string): string => word.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** Digits become a number, `true` and `false` themselves; anything else stays text, for the schema to complain about. */
const value = (text: string): string | number | boolean => {
  if (text === 'true' || text === 'false') return text === 'true'
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
}

const pair = (flag: string, text: string): [key: string, value: string] => {
  const at = text.indexOf('=')
  if (at < 1) throw usageError(`${flag} ${text}: there is no "="`, `write ${flag} NAME=VALUE; see "tsnat up --help"`)
  return [text.slice(0, at), text.slice(at + 1)]
}

/** `from=10.77.0.0/24,protocol=udp,ports=53+5000-5010` → a rule. A "+" stands between ports, as the comma is taken. */
const rule = (text: string): RawConfig =>
  Object.fromEntries(text.split(',').map((item) => {
    const [key, given] = pair('--nat-rule', item)
    return [camel(key), key === 'ports' ? given.replaceAll('+', ',') : value(given)]
  }))

const CHECK_KEYS = ['interval', 'timeout', 'fails', 'passes', 'expect']

/** `icmp:192.0.2.1` → type and target; of `http://…` the URL is the target. */
const check = (text: string): RawConfig => {
  const at = text.indexOf(':')
  if (at < 0) return { type: text }
  const target = text.slice(at + 1)
  return { type: text.slice(0, at), target: target.startsWith('//') ? text : target }
}

/** `eth1,weight=2,address=owned:198.51.100.7/24+198.51.100.8/24` → a WAN; its name alone where nothing else is said. */
const readWan = (text: string): string | RawConfig => {
  const [name, ...items] = text.split(',')
  if (items.length === 0) return name!
  const wan: RawConfig = { interface: name }
  for (const item of items) {
    const [word, given] = pair('--wan', item)
    const key = camel(word)
    const owned = key === 'address' && given.startsWith('owned:') ? given.slice('owned:'.length).split('+') : undefined
    if (key === 'check') wan['check'] = { ...(wan['check'] as RawConfig | undefined), ...check(given) }
    else if (CHECK_KEYS.includes(key)) wan['check'] = { ...(wan['check'] as RawConfig | undefined), [key]: value(given) }
    else wan[key] = owned === undefined ? value(given) : { owned }
  }
  return wan
}

/** `owned:a,b` → ['a', 'b']; undefined for what begins otherwise. */
const listAfter = (start: string, text: string | undefined): string[] | undefined =>
  text?.startsWith(start) === true ? text.slice(start.length).split(',') : undefined

export interface FlagConfig {
  config: RawConfig
  locate: LocateConfig
}

/** @throws TsnatError USAGE when a NAME=VALUE has no "=" */
export const readUpFlags = (flags: UpFlags): FlagConfig => {
  const config: RawConfig = {}
  const places = new Map<string, ConfigPlace>()
  const set = (path: readonly string[], given: unknown, flag: string): void => {
    if (given === undefined) return
    let node = config
    for (const step of path.slice(0, -1)) node = (node[step] ??= {}) as RawConfig
    node[path.at(-1)!] = given
    places.set(path.join('.'), { text: flag, flag: true })
  }

  set(['name'], flags.name, '--name')
  if (flags.wan !== undefined) {
    // One name alone is what the key has as one, for the messages.
    const wans = flags.wan.map(readWan)
    set(['wan'], wans.length === 1 && typeof wans[0] === 'string' ? wans[0] : wans, '--wan')
  }
  set(['wanDriver'], flags.wanDriver, '--wan-driver')
  const owned = listAfter('owned:', flags.wanAddress)
  if (owned === undefined) set(['wanAddress'], flags.wanAddress, '--wan-address')
  else set(['wanAddress', 'owned'], owned, '--wan-address')
  if (flags.wanGateway !== undefined) {
    if (typeof config['wanAddress'] === 'string') {
      const hint = "with a shared address the kernel's routes say the next hop: leave out --wan-gateway"
      throw usageError(`--wan-gateway ${flags.wanGateway} is for owned addresses, but --wan-address is ${flags.wanAddress}`, hint)
    }
    set(['wanAddress', 'gateway'], flags.wanGateway, '--wan-gateway')
  }
  set(['importKernelRoutes'], flags.importKernelRoutes, '--import-kernel-routes')
  set(['deadFlows'], flags.deadFlows, '--dead-flows')
  set(['ports'], flags.ports, '--ports')
  set(['lan'], flags.lan, '--lan')
  set(['lanAddress'], flags.lanAddress, '--lan-address')
  set(['lanMtu'], flags.lanMtu === undefined ? undefined : value(flags.lanMtu), '--lan-mtu')
  const iif = listAfter('iif=', flags.capture)
  set(['capture'], iif === undefined ? flags.capture : { iif }, '--capture')
  set(['netns'], flags.netns, '--netns')
  set(['mssClamp'], flags.mssClamp, flags.mssClamp === false ? '--no-mss-clamp' : '--mss-clamp')
  set(['offload', 'lan'], flags.lanOffload === undefined ? undefined : flags.lanOffload === 'on', '--lan-offload')
  set(['offload', 'wan'], flags.wanOffload === undefined ? undefined : flags.wanOffload === 'on', '--wan-offload')
  set(['log', 'level'], flags.logLevel, '--log-level')
  set(['log', 'format'], flags.logFormat, '--log-format')
  set(['log', 'bindings'], flags.logBindings, '--log-bindings')
  set(['log', 'destinations'], flags.logDestinations, '--log-destinations')
  set(['log', 'syslog'], flags.logSyslog, '--log-syslog')
  set(['log', 'nflog', 'directory'], flags.logNflog, '--log-nflog')
  set(['socket'], flags.socket, '--socket')
  set(['busyPoll'], flags.busyPoll === undefined ? undefined : value(flags.busyPoll), '--busy-poll')
  for (const text of flags.nat ?? []) {
    const [name, given] = pair('--nat', text)
    set(['nat', ...name.split('.').map(camel)], value(given), `--nat ${name}`)
  }
  set(['profile'], flags.profile, '--profile')
  if (flags.natRule !== undefined) set(['nat', 'rules'], flags.natRule.map(rule), '--nat-rule')
  set(['forwards'], flags.forward, '--forward')
  const file = (path: string | undefined): { file: string } | undefined => (path === undefined ? undefined : { file: path })
  set(['rules'], file(flags.rules), '--rules')
  set(['ipset'], file(flags.ipset), '--ipset')
  set(['ipBatch'], file(flags.ipBatch), '--ip-batch')
  for (const text of flags.timeout ?? []) {
    const [name, given] = pair('--timeout', text)
    set(['timeouts', camel(name)], value(given), `--timeout ${name}`)
  }
  for (const text of flags.limit ?? []) {
    const [name, given] = pair('--limit', text)
    set(['limits', camel(name)], value(given), `--limit ${name}`)
  }
  for (const text of flags.fault ?? []) {
    const [name, given] = pair('--fault', text)
    set(['fault', ...name.split('.')], value(given), `--fault ${name}`)
  }

  const locate: LocateConfig = (path) => {
    const words = path.map(String)
    // What a flag gave may be wrong further inside (an address of a list), or already further out (an unknown key).
    for (let length = words.length; length > 0; length--) {
      const place = places.get(words.slice(0, length).join('.'))
      if (place !== undefined) return place
    }
    const below = [...places].find(([key]) => words.length > 0 && key.startsWith(`${words.join('.')}.`))
    return below?.[1]
  }
  return { config, locate }
}
