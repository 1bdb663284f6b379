/** Two stacks on a line, UDP sockets on them, and what they got. */
import { type Datagram, type DatagramOptions } from '../../../../src/stack/sockets/datagram.js'
import type { DeviceHost } from '../../../../src/stack/sockets/device-host.js'
import type { UdpEndpoint } from '../../../../src/stack/sockets/udp/endpoint.js'
import { buildUdp } from '../../../../src/testing/packets.js'
import { StackLink, type StackLinkOptions } from '../../../../src/testing/stack-link.js'
import { bytesOf, ip } from '../../support.js'

export const LEFT = '10.0.0.1'
export const RIGHT = '10.0.0.2'
export const text = (value: string): Uint8Array => new TextEncoder().encode(value)

export interface Open {
  readonly endpoint: UdpEndpoint
  readonly errors: string[]
  /** Takes what has been received. */
  readonly got: () => Datagram[]
  readonly texts: () => string[]
}

export const open = ({ stack }: DeviceHost, options: DatagramOptions = {}): Open => {
  const endpoint = stack.udp.open(options)
  const errors: string[] = []
  const received: Datagram[] = []
  endpoint.events = {
    onReadable: () => {
      for (let datagram = endpoint.read(); datagram !== null; datagram = endpoint.read()) received.push(datagram)
    },
    onError: ({ code, message }) => errors.push(`${code}: ${message}`),
    onDrain: () => errors.push('drain'),
  }
  const got = (): Datagram[] => received.splice(0)
  return { endpoint, errors, got, texts: () => got().map(({ data }) => new TextDecoder().decode(data)) }
}

export const bound = (host: DeviceHost, port: number, options: DatagramOptions = {}, address = '0.0.0.0'): Open => {
  const opened = open(host, options)
  opened.endpoint.bind(ip(address), port)
  return opened
}

/** With what passed on the line. */
export class Bed extends StackLink {
  readonly toRight: Uint8Array[] = []
  readonly toLeft: Uint8Array[] = []

  constructor(options: StackLinkOptions = {}) {
    super(options)
    this.dropToRight((packet) => this.toRight.push(packet) < 0)
    this.dropToLeft((packet) => this.toLeft.push(packet) < 0)
  }

  /** Everything that is on its way arrives. */
  settle(): void {
    this.run(1)
  }

  /** A datagram from the left, of nobody there, arrives at the right. */
  inject(over: Partial<Parameters<typeof buildUdp>[0]>): void {
    this.injectRight(buildUdp({ source: LEFT, destination: RIGHT, sourcePort: 1000, destinationPort: 53, payload: bytesOf(4), ...over }))
    this.settle()
  }
}
