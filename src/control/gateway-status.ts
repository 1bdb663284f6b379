/** Puts a status together from the host, the counters and the flow table's header. */
import { getSystemErrorName } from 'node:util'
import type { GatewayStatus, InterfaceStatus, WanStatus } from '../api/types.js'
import { ZONE_LAN, ZONE_WAN } from '../attachment.js'
import type { Config } from '../config.js'
import { formatPorts } from '../host/port-set.js'
import { HEADER_CLASSES, HEADER_COUNT, HEADER_EXPIRED, HEADER_OPENED } from '../nat/flow-table.js'
import { CLASS_TCP_SYN_RECV, CLASS_TCP_SYN_SENT, TIMEOUT_NAMES } from '../nat/timeouts.js'
import type { Offloads } from '../stack/device/device.js'
import { formatIpv4, formatMac } from '../stack/wire/address.js'
import {
  dropsByName, SIDE_STATS, STAT_ERRORS_WITHHELD, STAT_FRAGMENT_BYTES, STAT_GAVE_WAY, STAT_KERNEL_DROPS, STAT_LAST_ERRNO, STAT_REFUSED, STAT_RULES, STAT_RX_BYTES, STAT_RX_PACKETS, STAT_SOURCES, STAT_TX_BYTES,
  STAT_TX_ERRORS, STAT_TX_PACKETS,
} from '../stats.js'
import { version } from '../version.js'
import type { Host } from './host.js'
import type { HealthState } from './health/index.js'
import type { Uplink } from './uplink.js'

export interface StatusSources {
  readonly config: Config
  readonly host: Host
  /** What the checks of a WAN have found; null where it has none. */
  readonly health: (uplink: Uplink) => HealthState | null
  readonly stats: Float64Array
  /** Header of the flow table. */
  readonly header: Int32Array
  readonly capacity: number
  readonly state: GatewayStatus['state']
  readonly events: GatewayStatus['events']
  readonly bindings: GatewayStatus['bindings']
  readonly log: GatewayStatus['log']
  readonly redirects: GatewayStatus['redirects']
  readonly sockets: GatewayStatus['sockets']
  /** Seconds. */
  readonly uptime: number
}

const counters = (stats: Float64Array, zone: number): Pick<InterfaceStatus, 'rx' | 'tx' | 'kernelDrops'> => {
  const base = zone * SIDE_STATS
  const errno = stats[base + STAT_LAST_ERRNO]!
  return {
    rx: { packets: stats[base + STAT_RX_PACKETS]!, bytes: stats[base + STAT_RX_BYTES]! },
    tx: {
      packets: stats[base + STAT_TX_PACKETS]!,
      bytes: stats[base + STAT_TX_BYTES]!,
      errors: stats[base + STAT_TX_ERRORS]!,
      lastError: errno === 0 ? null : getSystemErrorName(-errno),
    },
    kernelDrops: stats[base + STAT_KERNEL_DROPS]!,
  }
}

/** With the raw driver, packets may also be lost between the data plane and the raw sockets. */
const wanCounters = (stats: Float64Array, { index, rawCounters: raw }: Uplink): ReturnType<typeof counters> => {
  const own = counters(stats, ZONE_WAN + index)
  if (raw === null) return own
  return {
    rx: own.rx,
    tx: { ...own.tx, errors: own.tx.errors + raw.sendErrors, lastError: raw.lastError ?? own.tx.lastError },
    kernelDrops: own.kernelDrops + raw.dropped,
  }
}

const offloadStatus = (vnetHeader: boolean, { checksum, tcp, udp }: Offloads): InterfaceStatus['offloads'] =>
  ({ vnetHeader, checksum, tcpSegmentation: tcp, udpSegmentation: udp })

const limitOf = (value: number): number | null => (value === 0 ? null : value)

const captureText = (capture: Config['capture']): string => (typeof capture === 'string' ? capture : `iif=${capture.iif.join(',')}`)

/** Classes of timeouts begin with the name of their protocol, but that of the others. UDP-Lite counts as UDP. */
const countByProtocol = (header: Int32Array): Pick<GatewayStatus['flows'], 'tcp' | 'udp' | 'icmp' | 'sctp' | 'gre' | 'other'> => {
  const count = (prefix: string): number =>
    TIMEOUT_NAMES.reduce((sum, name, one) => (name.startsWith(prefix) ? sum + header[HEADER_CLASSES + one]! : sum), 0)
  return { tcp: count('tcp'), udp: count('udp'), icmp: count('icmp'), sctp: count('sctp'), gre: count('gre'), other: count('generic') }
}

const healthStatus = (state: HealthState | null): WanStatus['health'] => state === null ? null : {
  alive: state.alive, since: new Date(state.since).toISOString(), error: state.error, milliseconds: state.milliseconds,
}

const wanStatus = (uplink: Uplink, health: HealthState | null, { config, stats, ports }: { config: Config; stats: Float64Array; ports: string }): WanStatus => {
  const { state, settings, config: wan, hasOffloads: offload } = uplink
  const troubles = health === null || health.alive ? uplink.troubles : [...uplink.troubles, `the checks of ${uplink.name} fail: ${health.error ?? 'no answer'}`]
  const outward = settings.routes.find(({ prefixLength }) => prefixLength === 0)
  const nextHop = outward?.gateway ?? null
  const mac = nextHop === null ? null : (uplink.neighbour(nextHop)?.mac ?? null)
  return {
    name: uplink.name,
    ifindex: state.ifindex,
    up: state.up,
    mtu: state.mtu,
    addresses: wan.address === 'shared'
      ? state.addresses.map(({ address, prefixLength }) => `${formatIpv4(address)}/${prefixLength}`)
      : [...wan.address.owned],
    offloads: offloadStatus(offload, { checksum: offload, tcp: offload, udp: offload }),
    ...wanCounters(stats, uplink),
    state: troubles.length === 0 ? 'ready' : 'degraded',
    reasons: troubles,
    health: healthStatus(health),
    weight: wan.weight,
    metric: wan.metric,
    driver: config.wanDriver,
    addressMode: wan.address === 'shared' ? 'shared' : 'owned',
    address: outward === undefined || outward.source === 0 ? null : formatIpv4(outward.source),
    nextHop: nextHop === null ? null : formatIpv4(nextHop),
    neighbour: mac === null ? null : formatMac(mac.high, mac.low),
    ports,
    pool: config.nat.pool,
  }
}

export const describeStatus = ({ config, host, health, stats, header, capacity, state, events, bindings, log, redirects, sockets, uptime }: StatusSources): GatewayStatus => {
  const { limits } = config
  const wans = host.uplinks.map((uplink) => wanStatus(uplink, health(uplink), { config, stats, ports: formatPorts(host.ports) }))
  const lost = wans.every((wan) => wan.state === 'degraded') ? wans.flatMap((wan) => wan.reasons) : []
  const reasons = state === 'starting' ? [] : [...new Set([...lost, ...host.troubles])]
  const { tun } = host
  const byProtocol = countByProtocol(header)
  return {
    name: config.name,
    version: version(),
    pid: process.pid,
    state: state === 'ready' && reasons.length > 0 ? 'degraded' : state,
    reasons,
    uptime,
    lan: {
      name: config.lan,
      ifindex: host.lanIfindex,
      up: true,
      mtu: host.lanMtu,
      addresses: [config.lanAddress],
      offloads: offloadStatus(tun.vnetHeader, tun.offloads),
      ...counters(stats, ZONE_LAN),
      kernelDrops: host.lanKernelDrops,
      gatewayAddress: formatIpv4(host.gatewayAddress),
      netns: config.netns ?? null,
      capture: captureText(config.capture),
    },
    wans,
    flows: {
      count: header[HEADER_COUNT]!,
      capacity,
      ...byProtocol,
      opened: header[HEADER_OPENED]!,
      expired: header[HEADER_EXPIRED]!,
      refused: stats[STAT_REFUSED]!,
    },
    limits: {
      profile: config.profile,
      sources: stats[STAT_SOURCES]!,
      flowsPerSource: limitOf(limits.flowsPerSource),
      newFlowsPerSource: limitOf(limits.newFlowsPerSource),
      halfOpen: { count: header[HEADER_CLASSES + CLASS_TCP_SYN_SENT]! + header[HEADER_CLASSES + CLASS_TCP_SYN_RECV]!, limit: limitOf(limits.halfOpen) },
      halfOpenPerSource: limitOf(limits.halfOpenPerSource),
      fragmentBytes: { count: stats[STAT_FRAGMENT_BYTES]!, limit: limits.fragmentBytes },
      rules: config.nat.rules.map(({ flows }, rule) => ({ count: stats[STAT_RULES + rule]!, limit: flows ?? null })),
      icmpErrorsPerSecond: limits.icmpErrorsPerSecond,
      icmpErrorsWithheld: stats[STAT_ERRORS_WITHHELD]!,
      refusal: limits.refusal,
      gaveWay: stats[STAT_GAVE_WAY]!,
    },
    sockets,
    events,
    bindings,
    log,
    redirects,
    drops: dropsByName(stats),
  }
}
