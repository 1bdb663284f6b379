/** The status of a gateway as a few lines for people. */
import type { GatewayStatus, InterfaceStatus, WanStatus, OffloadStatus } from '../api/types.js'
import { byteText, durationText, grouped } from './number-text.js'
import { redirectCounts, redirectText } from './redirect-text.js'
import { paint } from './terminal.js'
import type { TerminalStream } from './terminal.js'

const offloadText = ({ vnetHeader, checksum, tcpSegmentation, udpSegmentation }: OffloadStatus): string => {
  const parts = [
    ...(checksum ? ['checksum'] : []),
    ...(tcpSegmentation ? ['TCP segmentation'] : []),
    ...(udpSegmentation ? ['UDP segmentation'] : []),
  ]
  return parts.length > 0 ? parts.join(', ') : vnetHeader ? 'none accepted by the kernel' : 'off'
}

const unsentText = ({ errors, lastError }: InterfaceStatus['tx']): string =>
  `${grouped(errors)} not sent${lastError === null ? '' : `, latest ${lastError}`}`

const interfaceLines = ({ up, rx, tx, offloads, kernelDrops }: InterfaceStatus, stream: TerminalStream): string[] => [
  ...(up ? [] : [paint(stream, 'red', 'down')]),
  `received ${grouped(rx.packets)} packets, ${byteText(rx.bytes)}; sent ${grouped(tx.packets)} packets, ${byteText(tx.bytes)}`,
  ...(tx.errors === 0 ? [] : [paint(stream, 'yellow', unsentText(tx))]),
  ...(kernelDrops === 0 ? [] : [paint(stream, 'yellow', `${grouped(kernelDrops)} dropped by the kernel before tsnat could read them`)]),
  `offloads: ${offloadText(offloads)}`,
]

const healthText = ({ alive, since, milliseconds }: NonNullable<WanStatus['health']>): string =>
  `${alive ? 'alive' : 'dead'} since ${since}${milliseconds === null ? '' : `, last answer after ${milliseconds.toFixed(1)} ms`}`

/** @param isOneOf there are several, so that trouble of this one is not that of the gateway */
const wanLines = (wan: WanStatus, isOneOf: boolean, stream: TerminalStream): string[] => {
  const next = wan.nextHop === null ? '' : ` via ${wan.nextHop}${wan.neighbour === null ? '' : ` (${wan.neighbour})`}`
  const preference = `${wan.weight === null ? '' : `, weight ${wan.weight}`}${wan.metric === null ? '' : `, metric ${wan.metric}`}`
  return [
    `${wan.name} ${wan.address ?? 'no address'}${next}, MTU ${wan.mtu}, ${wan.driver} driver${preference}`,
    ...(wan.health === null ? [] : [healthText(wan.health)]),
    ...(isOneOf ? wan.reasons.map((reason) => `${paint(stream, 'red', '!')} ${reason}`) : []),
    `${wan.addressMode} address, ports ${wan.ports}`,
    ...(wan.pool === null ? [] : [`pool ${wan.pool}`]),
    ...interfaceLines(wan, stream),
  ]
}

const stateText = (state: GatewayStatus['state'], stream: TerminalStream): string =>
  paint(stream, state === 'ready' ? 'green' : state === 'degraded' ? 'red' : 'yellow', state)

const limitText = (limit: number | null, unit = ''): string => (limit === null ? 'no limit' : `at most ${grouped(limit)}${unit}`)

const limitLines = ({ limits }: GatewayStatus): string[] => [
  `profile ${limits.profile}; ${grouped(limits.sources)} inside addresses, flows of each ${limitText(limits.flowsPerSource)}, new ones ${limitText(limits.newFlowsPerSource, ' a second')}`,
  `half-open TCP ${grouped(limits.halfOpen.count)}, ${limitText(limits.halfOpen.limit)}, of each address ${limitText(limits.halfOpenPerSource)}`,
  `held fragments ${byteText(limits.fragmentBytes.count)} of ${byteText(limits.fragmentBytes.limit)}; ` +
    `ICMP errors at most ${grouped(limits.icmpErrorsPerSecond)} a second, ${grouped(limits.icmpErrorsWithheld)} withheld`,
  ...(limits.rules.length === 0 ? [] : [`flows by rule: ${limits.rules.map(({ count, limit }) => `${grouped(count)}${limit === null ? '' : ` of ${grouped(limit)}`}`).join(', ')}`]),
  ...(limits.gaveWay === 0 ? [] : [`${grouped(limits.gaveWay)} flows of forged addresses gave way`]),
]

/** Protocols that are told only where there are any. */
const rareText = ({ sctp, gre, other }: GatewayStatus['flows']): string =>
  ([['SCTP', sctp], ['GRE', gre], ['other', other]] as const).map(([name, count]) => (count === 0 ? '' : `, ${name} ${grouped(count)}`)).join('')

const logLines = ({ bindings, log }: GatewayStatus): string[] => [
  ...(bindings.logged === 0 ? [] : [`${grouped(bindings.logged)} lines about bindings, ${grouped(bindings.lost)} lost`]),
  ...(log.lines + log.packets + log.lost === 0
    ? []
    : [`by rules: ${grouped(log.lines)} lines, ${grouped(log.packets)} packets in files, ${grouped(log.lost)} lost`]),
]

const socketText = ({ sockets: { count, limit, tcp, udp, icmp, timeWait } }: GatewayStatus): string =>
  `${grouped(count)} of ${grouped(limit)} sockets (TCP ${grouped(tcp)}, UDP ${grouped(udp)}, ICMP ${grouped(icmp)}, TIME_WAIT ${grouped(timeWait)})`

/** @param stream decides about colours */
export const statusText = (status: GatewayStatus, stream: TerminalStream): string => {
  const { lan, wans, flows, events } = status
  const bold = (text: string): string => paint(stream, 'bold', text)
  const block = (title: string, lines: readonly string[]): string =>
    lines.map((line, i) => `  ${i === 0 ? bold(title.padEnd(6)) : ' '.repeat(6)} ${line}\n`).join('')
  const age = `up ${durationText(status.uptime)}, pid ${status.pid}, version ${status.version}`
  const where = lan.netns === null ? '' : `, in namespace ${lan.netns}`
  const drops = Object.entries(status.drops).sort(([, a], [, b]) => b - a)
  return [
    `${bold(`tsnat ${status.name}`)}: ${stateText(status.state, stream)}, ${age}\n`,
    ...status.reasons.map((reason) => `  ${paint(stream, 'red', '!')} ${reason}\n`),
    block('LAN', [
      `${lan.name} ${lan.addresses.join(' ')}, gateway ${lan.gatewayAddress}, MTU ${lan.mtu}, capture ${lan.capture}${where}`,
      ...interfaceLines(lan, stream),
    ]),
    ...wans.map((wan) => block('WAN', wanLines(wan, wans.length > 1, stream))),
    block('flows', [
      `${grouped(flows.count)} of ${grouped(flows.capacity)} ` +
        `(TCP ${grouped(flows.tcp)}, UDP ${grouped(flows.udp)}, ICMP ${grouped(flows.icmp)}${rareText(flows)})`,
      `opened ${grouped(flows.opened)}, expired ${grouped(flows.expired)}, refused ${grouped(flows.refused)}`,
    ]),
    block('limits', limitLines(status)),
    ...(status.sockets.count === 0 ? [] : [block('own', [socketText(status)])]),
    ...(events.readers === 0 && events.lost === 0 ? [] : [block('events', [`${grouped(events.readers)} reading, ${grouped(events.lost)} lost`])]),
    ...status.redirects.map((one) => block('SOCKS', [redirectText(one), ...redirectCounts(one)])),
    block('log', logLines(status)),
    block('drops', drops.length === 0 ? ['none'] : drops.map(([reason, count]) => `${grouped(count)} ${reason}`)),
  ].join('')
}
