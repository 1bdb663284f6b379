/**
 * The configuration: one schema from which the types, the checks, the defaults and the shipped JSON Schema come.
 * The only file that knows the schema library. Reading files is config-file.ts; flags are cli/up-flags.ts.
 */
import { z } from 'zod'
import { ExitCode, TsnatError } from './errors.js'
import { FORWARD, parseForward } from './forward-text.js'
import { instanceDirectory } from './host/run-directory.js'
import { nearest } from './nearest.js'
import { DEPENDENCES, MAPPINGS } from './nat/behaviour.js'
import { parseIpv4, parsePrefix } from './stack/wire/address.js'

const integer = (minimum: number, maximum: number) => {
  const error = `must be a whole number from ${minimum} to ${maximum}`
  return z.int({ error }).min(minimum, { error }).max(maximum, { error })
}
const ratio = () => {
  const error = 'must be a number from 0 to 1'
  return z.number({ error }).min(0, { error }).max(1, { error })
}
const text = (pattern: RegExp, error: string) => z.string({ error }).regex(pattern, { error })
const checked = (pattern: RegExp, valid: (value: string) => boolean, error: string) => text(pattern, error).refine(valid, { error })
const flag = () => z.boolean({ error: 'must be true or false' })
const oneOf = <const T extends readonly [string, ...string[]]>(...words: T) =>
  z.enum(words, { error: `must be one of ${words.join(', ')}` })
const seconds = () => integer(1, 2_592_000)
const section = <T extends z.core.$ZodShape>(shape: T) => z.strictObject(shape, { error: 'must be a mapping of keys to values' })
const list = <T extends z.ZodType>(item: T) => z.array(item, { error: 'must be a list' }).min(1, { error: 'must not be an empty list' })

const interfaceName = () => {
  const error = 'must be an interface name: 1 to 15 characters, no "/", ":" or space'
  return checked(/^[^/\s:]{1,15}$/, (name) => name !== '.' && name !== '..', error)
}
const NETNS = 'must be the name, path or process id of a network namespace'
const PREFIX = 'must be an IPv4 address with prefix length, such as 198.51.100.7/24'
const LAN_ADDRESS = 'must be a host address with prefix length 8 to 30, and not the first of its subnet, such as 10.77.0.2/24'
const PORTS = 'must be a list of ports and ranges from 1 to 65535, such as 512-599,36864-60999'
const CIDR = /^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/

/** The kernel's end must be a host address of its subnet, and not the first one, which is tsnat's own. */
const isLanAddress = (value: string): boolean => {
  const prefix = parsePrefix(value)
  if (prefix === null || prefix.length < 8 || prefix.length > 30) return false
  const host = (prefix.address & ~prefix.mask) >>> 0
  return host > 1 && host < ~prefix.mask >>> 0
}

const isPortSet = (value: string): boolean =>
  value.split(',').every((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return first! >= 1 && first! <= last! && last! <= 65535
  })

const behaviour = () =>
  section({
    mapping: oneOf(...MAPPINGS)
      .default('endpoint-independent')
      .describe('When an inside endpoint keeps its outside port; "shared": a port serves several of them as long as their remotes differ, as netfilter does.'),
    filtering: oneOf(...DEPENDENCES)
      .default('address-dependent')
      .describe('Who else may send to it: anybody, the addresses it has sent to, nobody.'),
  }).prefault({})

const faults = () =>
  section({
    loss: ratio().default(0).describe('Probability that a packet is lost.'),
    duplicate: ratio().default(0).describe('Probability that a packet is sent twice.'),
    corrupt: ratio().default(0).describe('Probability that one bit of the payload is flipped.'),
    reorder: ratio().default(0).describe('Probability that a packet is held back behind later ones.'),
    seed: integer(0, 0xffffffff).default(1).describe('Start of the random sequence; the same seed gives the same faults.'),
  })
const faultSide = (side: string) =>
  section({
    in: faults().optional().describe(`Packets that come from the ${side}.`),
    out: faults().optional().describe(`Packets that go to the ${side}.`),
  })

const schema = section({
  name: text(/^[a-z0-9-]{1,15}$/, 'must be 1 to 15 characters out of a-z, 0-9 and "-"')
    .default('default')
    .describe('Name of this instance. Each instance has its own control socket, interfaces and tables.'),
  wan: interfaceName().describe('Interface towards the Internet. Its address, routes and neighbours are followed live.'),
  wanDriver: oneOf('packet', 'raw')
    .default('packet')
    .describe('"packet": AF_PACKET socket with offloads. "raw": raw IP sockets, slower, the kernel routes; only with a shared address.'),
  wanAddress: z
    .union(
      [
        z.literal('shared'),
        section({
          owned: list(checked(CIDR, (value) => parsePrefix(value) !== null, PREFIX))
            .describe('Addresses that only tsnat has. It answers ARP for them; the kernel must not have them.'),
          gateway: checked(/^[\d.]+$/, (value) => parseIpv4(value) !== null, 'must be an IPv4 address')
            .optional()
            .describe('Next hop of all traffic; without it, the default route of the WAN interface says it.'),
        }),
      ],
      { error: 'must be "shared" or a mapping with the key "owned"' },
    )
    .default('shared')
    .describe('"shared": flows leave from the kernel\'s own address. "owned": from addresses that only tsnat has.'),
  ports: checked(/^\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*$/, isPortSet, PORTS)
    .optional()
    .describe(
      'External ports and ICMP ids for flows. When absent: all of them on owned addresses, on a shared one a part that the kernel is kept off.',
    ),
  lan: interfaceName().default('tun0').describe('TUN interface to create for the inside.'),
  lanAddress: checked(CIDR, isLanAddress, LAN_ADDRESS)
    .default('10.77.0.2/24')
    .describe("The kernel's end of the TUN. The first address of the subnet is tsnat's own and answers ping."),
  lanMtu: integer(576, 65535).optional().describe('MTU of the TUN in bytes. Follows the WAN when absent.'),
  capture: z
    .union(
      [
        z.literal('default'),
        z.literal('none'),
        section({
          iif: list(interfaceName()).describe('Interfaces whose arriving traffic goes into the TUN; IP forwarding is switched on.'),
        }),
      ],
      { error: 'must be "default", "none" or a mapping with the key "iif"' },
    )
    .default('default')
    .describe(
      'Which traffic enters: "default" = all that would take the default route, "none" = nothing by itself, {iif: […]} = what arrives there.',
    ),
  netns: z
    .union([text(/./, NETNS), z.int()], { error: NETNS })
    .transform(String)
    .optional()
    .describe('Network namespace (name, path or process id) that the TUN is put into; tsnat stays outside.'),
  mssClamp: flag().default(true).describe('Lower the MSS of TCP SYNs to what the egress MTU carries.'),
  offload: section({
    lan: flag().default(true).describe('Checksum and segmentation offloads of the TUN.'),
    wan: flag().default(true).describe('Checksum and segmentation offloads of the packet socket.'),
  })
    .prefault({})
    .describe('What may be left to the kernel and the network card. Off: tsnat computes checksums and segments itself.'),
  nat: section({
    tcp: behaviour().describe('How TCP is mapped and filtered (RFC 5382).'),
    udp: behaviour().describe('How UDP is mapped and filtered (RFC 4787).'),
    icmp: behaviour().describe('How ICMP queries are mapped (RFC 5508); nothing unasked for comes in.'),
    portHold: integer(0, 86_400)
      .default(120)
      .describe('Seconds that an outside port of an endpoint-independent filter rests before another inside host gets it (RFC 6888 REQ-8).'),
  })
    .prefault({})
    .describe('How the NAT behaves towards the outside, in the words of RFC 4787.'),
  forwards: z
    .array(checked(FORWARD, (text) => parseForward(text) !== null, `must be such as "tcp:8080:10.77.0.2:80" or "udp:5000-5010:10.77.0.2:5000@198.51.100.0/24"`), {
      error: 'must be a list',
    })
    .default([])
    .describe('Outside ports that lead to an inside host: PROTOCOL:PORT[-PORT]:ADDRESS:PORT[@PREFIX], the prefix being who may use it.'),
  timeouts: section({
    udp: seconds().default(300).describe('UDP flow with replies (RFC 4787 REQ-5: at least 120, 300 recommended).'),
    udpUnreplied: seconds().default(300).describe('UDP flow that was never answered (RFC 4787 REQ-5 applies too).'),
    icmp: seconds().default(60).describe('ICMP query (RFC 5508 REQ-2: at least 60).'),
    tcpOpening: seconds().default(240).describe('TCP until both ends have acknowledged (RFC 5382 REQ-5: at least 240).'),
    tcpEstablished: seconds().default(7440).describe('TCP established, one-sided FIN included (RFC 5382 REQ-5: at least 7440).'),
    tcpClosing: seconds().default(240).describe('TCP after both FINs or a RST (RFC 5382 REQ-5, RFC 7857 2.2: 240).'),
  })
    .prefault({})
    .describe('Seconds without a packet after which a flow is forgotten.'),
  limits: section({
    flows: integer(1, 16_777_216).default(262_144).describe('Flows at most. At the limit a new flow is refused; no live flow is evicted.'),
    fragmentBytes: integer(65_536, 1_073_741_824).default(4_194_304).describe('Bytes at most held of fragments that wait for their first one.'),
    icmpErrorsPerSecond: integer(0, 1_000_000).default(1000).describe('ICMP errors of its own that tsnat sends in a second at most; 0 = none.'),
  })
    .prefault({})
    .describe('What tsnat may use at most.'),
  fault: section({
    lan: faultSide('LAN').optional().describe('Faults on the LAN side.'),
    wan: faultSide('WAN').optional().describe('Faults on the WAN side.'),
  })
    .prefault({})
    .describe('Faults made on purpose, to test what is on top. Nothing is done when absent.'),
  log: section({
    level: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent')
      .default('info')
      .describe('Least important lines that are logged.'),
    format: oneOf('auto', 'json', 'pretty').default('auto').describe('"auto": readable on a terminal, JSON otherwise.'),
  })
    .prefault({})
    .describe('Log lines on standard error.'),
  socket: checked(/^\/[^\0]+$/, (path) => Buffer.byteLength(path) <= 107, 'must be an absolute path of at most 107 bytes')
    .optional()
    .describe('Path of the control socket. /run/tsnat/NAME/control.sock when absent.'),
  busyPoll: integer(0, 1_000_000)
    .default(50)
    .describe('Microseconds that the worker looks for more packets before it sleeps; more CPU for less delay. Without effect on a machine with one processor.'),
})

/** What a file, the flags or a program may give; everything but `wan` has a default. */
export type ConfigInput = z.input<typeof schema>
/** A checked configuration with all defaults filled in. */
export type Config = Omit<z.output<typeof schema>, 'socket'> & { socket: string }

/** Where in its source a value stands. */
export interface ConfigPlace {
  /** Put before the message, e.g. `tsnat.yaml:3:5` or `--limit flows`; may be empty. */
  text: string
  /** The value came from the command line, which makes the error one of usage. */
  flag: boolean
}
export type LocateConfig = (path: readonly PropertyKey[]) => ConfigPlace | undefined

interface JsonSchema {
  description?: string
  properties?: Record<string, JsonSchema>
  anyOf?: JsonSchema[]
  items?: JsonSchema
  required?: string[]
}

/** JSON Schema (draft 2020-12) of the configuration file. `wan` is not required there, as `--wan` may give it. */
export const configJsonSchema = (): Record<string, unknown> => {
  const { $schema, ...body } = z.toJSONSchema(schema, { io: 'input' })
  delete body.required
  return { $schema, title: 'tsnat configuration', description: 'Configuration of one tsnat instance.', ...body }
}

/** The part of the schema that describes `path`; of alternatives, the one that is a mapping. */
const schemaAt = (path: readonly PropertyKey[]): JsonSchema => {
  const mapping = (node: JsonSchema): JsonSchema => node.anyOf?.find((one) => one.properties !== undefined) ?? node
  let node = configJsonSchema() as JsonSchema
  for (const step of path) node = (typeof step === 'number' ? node.items : mapping(node).properties?.[String(step)]) ?? {}
  return path.length === 0 ? node : { ...mapping(node), ...(node.description === undefined ? {} : { description: node.description }) }
}

/** Of a failed union, the complaint of the alternative that the value was meant to be; the union's own otherwise. */
const innermost = (issue: z.core.$ZodIssue): z.core.$ZodIssue => {
  if (issue.code !== 'invalid_union') return issue
  // A value of the right shape fails deeper inside, or by its keys; one of the wrong shape fails at the union itself.
  const meant = issue.errors.find((issues) => issues.every((one) => one.path.length > 0 || one.code === 'unrecognized_keys'))
  const unknown = meant?.find((one) => one.code === 'unrecognized_keys') ?? meant?.[0]
  return unknown === undefined ? issue : innermost({ ...unknown, path: [...issue.path, ...unknown.path] })
}

const at = (value: unknown, path: readonly PropertyKey[]): unknown => {
  let node = value
  for (const step of path) node = typeof node === 'object' && node !== null ? (node as Record<PropertyKey, unknown>)[step] : undefined
  return node
}

const show = (value: unknown): string => {
  const shown = JSON.stringify(value) ?? String(value)
  return shown.length > 80 ? `${shown.slice(0, 77)}...` : shown
}

const prefix = (place: ConfigPlace | undefined): string => (place === undefined || place.text === '' ? '' : `${place.text}: `)

const explain = (found: z.core.$ZodIssue, input: unknown, locate: LocateConfig): TsnatError => {
  const issue = innermost(found)
  const unknownKey = issue.code === 'unrecognized_keys' ? issue.keys[0]! : undefined
  const path = unknownKey === undefined ? issue.path : [...issue.path, unknownKey]
  const place = locate(path)
  const make = (code: string, complaint: string, hint: string): TsnatError =>
    new TsnatError(`${prefix(place)}${complaint}`, {
      code,
      hint,
      exitCode: place?.flag === true ? ExitCode.usage : ExitCode.config,
    })
  const name = path.map(String).join('.')
  if (unknownKey !== undefined) {
    const known = Object.keys(schemaAt(issue.path).properties ?? {})
    const like = nearest(unknownKey, known)
    const guess = like === undefined ? '' : `did you mean "${like}"? `
    return make('CONFIG_UNKNOWN_KEY', `${name} is not a known key`, `${guess}Known here: ${known.join(', ')}`)
  }
  if (path.length === 0) {
    return make('CONFIG_INVALID', `the configuration is ${show(input)}, but ${issue.message}`, 'write "key: value" lines; see docs/configuration.md')
  }
  const value = at(input, path)
  if (name === 'wan' && value === undefined) {
    return make('CONFIG_NO_WAN', 'no WAN interface is given', 'name it with --wan eth0, or "wan: eth0" in the configuration file')
  }
  const complaint = value === undefined ? `${name} is missing; it ${issue.message}` : `${name} is ${show(value)}, but ${issue.message}`
  // An element of a list has no description of its own.
  const about = schemaAt(path).description ?? schemaAt(path.slice(0, -1)).description ?? 'see docs/configuration.md'
  return make('CONFIG_INVALID', complaint, `${name}: ${about}`)
}

interface Conflict {
  /** The key to blame. */
  path: string[]
  message: string
  hint: string
}

/** Rules between keys. */
const conflict = ({ lan, wan, wanDriver, wanAddress, capture, netns }: z.output<typeof schema>): Conflict | undefined => {
  if (lan === wan) {
    const hint = 'wan is an interface that exists, lan the TUN to create: give them different names'
    return { path: ['lan'], message: `lan and wan are both "${lan}"`, hint }
  }
  if (wanDriver === 'raw' && wanAddress !== 'shared') {
    const hint = 'raw sockets cannot answer ARP: use wanDriver "packet", or wanAddress "shared"'
    return { path: ['wanDriver'], message: 'wanDriver "raw" cannot have an owned address', hint }
  }
  if (typeof capture !== 'object') return undefined
  if (netns !== undefined) {
    const hint = 'with netns all traffic of that namespace enters the TUN: leave out capture'
    return { path: ['capture'], message: 'capture by iif and netns cannot go together', hint }
  }
  const own = capture.iif.find((name) => name === wan || name === lan)
  if (own === undefined) return undefined
  const message = `capture.iif names "${own}", the ${own === wan ? 'WAN' : 'TUN'} itself`
  return { path: ['capture'], message, hint: 'name the interfaces that the inside hosts are on' }
}

/**
 * Checks a configuration and fills in the defaults.
 * @param locate tells where the value at a path was written, for error messages
 * @throws TsnatError CONFIG_UNKNOWN_KEY, CONFIG_INVALID, CONFIG_NO_WAN, CONFIG_CONFLICT; exit code 78, or 64 for what a flag gave
 */
export const parseConfig = (input: unknown, locate: LocateConfig = () => undefined): Config => {
  const result = schema.safeParse(input)
  if (!result.success) throw explain(result.error.issues[0]!, input, locate)
  const clash = conflict(result.data)
  if (clash !== undefined) {
    const place = locate(clash.path)
    throw new TsnatError(`${prefix(place)}${clash.message}`, {
      code: 'CONFIG_CONFLICT',
      hint: clash.hint,
      exitCode: place?.flag === true ? ExitCode.usage : ExitCode.config,
    })
  }
  return { ...result.data, socket: result.data.socket ?? `${instanceDirectory(result.data.name)}/control.sock` }
}
