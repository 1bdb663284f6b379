/** Which of the configured forwards can be had: on an address that the kernel has too, not those of ports that the host's sockets hold. */
import type { HostPorts } from '../host/ports.js'
import { portSet, subtractPorts, type PortSet } from '../host/port-set.js'
import type { Forward } from '../nat/forwards.js'
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../stack/wire/ipv4.js'

/** Outside ports of forwards, by protocol. */
export const forwardedPorts = (forwards: readonly Forward[]): HostPorts => {
  const of = (wanted: number): PortSet =>
    portSet(forwards.filter(({ protocol }) => protocol === wanted).map(({ firstPort, lastPort }) => ({ first: firstPort, last: lastPort })))
  return { tcp: of(PROTOCOL_TCP), udp: of(PROTOCOL_UDP) }
}

/** What remains of forwards beside the ports that are held. A range is cut up around them, and leads to where it led before. */
export const usableForwards = (forwards: readonly Forward[], held: HostPorts): Forward[] => forwards.flatMap((forward) => {
  const { protocol, firstPort, lastPort, port } = forward
  const left = subtractPorts([{ first: firstPort, last: lastPort }], protocol === PROTOCOL_TCP ? held.tcp : held.udp)
  return left.map(({ first, last }) => ({ ...forward, firstPort: first, lastPort: last, port: port + (first - firstPort) }))
})
