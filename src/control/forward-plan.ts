/**
 * Which of the configured forwards can be had: on an address that the kernel has too, not those of ports that the host's sockets
 * hold. And what has to be heard and kept from the kernel for those that have no ports.
 */
import type { Config } from '../config.js'
import { parseForward } from '../forward-text.js'
import { type HostPorts, PORT_PROTOCOLS, type PortProtocol } from '../host/ports.js'
import { portSet, subtractPorts, type PortSet } from '../host/port-set.js'
import type { Forward } from '../nat/forwards.js'
import { hasPorts } from '../stack/parse.js'
import { parseProtocol } from '../protocol-names.js'
import { PROTOCOL_ESP, PROTOCOL_GRE, PROTOCOL_ICMP } from '../stack/wire/ipv4.js'

const nameOf = (protocol: number): PortProtocol | undefined => PORT_PROTOCOLS.find((name) => parseProtocol(name) === protocol)

/** Ports by protocol, each asked for. */
export const byProtocol = (ports: (name: PortProtocol) => PortSet): HostPorts =>
  ({ tcp: ports('tcp'), udp: ports('udp'), udplite: ports('udplite'), sctp: ports('sctp') })

/** Outside ports of forwards, by protocol. */
export const forwardedPorts = (forwards: readonly Forward[]): HostPorts => byProtocol((name) =>
  portSet(forwards.filter(({ protocol }) => nameOf(protocol) === name).map(({ firstPort, lastPort }) => ({ first: firstPort, last: lastPort }))))

/**
 * What remains of forwards beside the ports that are held. A range is cut up around them, and leads to where it led before.
 * Forwards without ports all remain.
 */
export const usableForwards = (forwards: readonly Forward[], held: HostPorts): Forward[] => forwards.flatMap((forward) => {
  const { protocol, firstPort, lastPort, port } = forward
  const name = nameOf(protocol)
  if (name === undefined) return [forward]
  const left = subtractPorts([{ first: firstPort, last: lastPort }], held[name])
  return left.map(({ first, last }) => ({ ...forward, firstPort: first, lastPort: last, port: port + (first - firstPort) }))
})

/** Of an outside address that the kernel has too. */
export interface PortlessPlan {
  /** Forwards without ports: what they are for is kept from the kernel. */
  readonly forwards: readonly Forward[]
  /** Pings are forwarded, at least those of some senders. */
  readonly pings: boolean
  /** Protocols without ports, other than ICMP, that packets may come of; null for all. */
  readonly protocols: readonly number[] | null
}

export const planPortless = (config: Pick<Config, 'forwards' | 'nat'>): PortlessPlan => {
  const forwards = config.forwards.map((text) => parseForward(text)!).filter(({ protocol }) => !hasPorts(protocol))
  const pings = forwards.some(({ protocol }) => protocol === PROTOCOL_ICMP)
  const others = forwards.map(({ protocol }) => protocol).filter((protocol) => protocol !== PROTOCOL_ICMP)
  return { forwards, pings, protocols: config.nat.otherProtocols === 'by-address' ? null : [...new Set([PROTOCOL_GRE, PROTOCOL_ESP, ...others])] }
}
