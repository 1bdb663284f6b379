/** What a host answers to. A socket that fails is gone; nothing is told. */
import { type Duplex, pipeline } from 'node:stream'
import type { Sockets } from './api.js'

const CHUNK = Buffer.alloc(65_536, 0x2e)

const quietly = (socket: Duplex): Duplex => socket.on('error', () => { socket.destroy() })

/** Bytes that came, by port, one number a connection. */
export const received = new Map<number, number[]>()
/** Connections that are kept open. */
export const held = new Set<Duplex>()

const keep = (socket: Duplex): void => {
  held.add(quietly(socket))
  socket.on('close', () => held.delete(socket))
  socket.on('end', () => socket.end())
  socket.resume()
}

/** Writes until the other side goes away. */
export const pour = (socket: Duplex): void => {
  const more = (): void => {
    while (!socket.destroyed && socket.write(CHUNK));
  }
  quietly(socket).on('drain', more)
  socket.resume()
  more()
}

const sink = (port: number) => (socket: Duplex): void => {
  const counts = received.get(port) ?? []
  received.set(port, counts)
  const index = counts.push(0) - 1
  quietly(socket).on('data', (chunk: Buffer) => { counts[index]! += chunk.length })
  socket.on('end', () => socket.end())
}

const greet = (socket: Duplex): void => {
  quietly(socket).end('x')
  socket.resume()
}

const relay = (out: Sockets, address: string, port: number) => (client: Duplex): void => {
  const server = out.connect(address, port)
  const ended = (): void => {}
  pipeline(client, server, ended)
  pipeline(server, client, ended)
}

/** A port, or a range of them: 7100-7163. */
type Ports = number | string

const expand = (ports: Ports): number[] => {
  const [first, last = first] = String(ports).split('-').map(Number) as [number, number | undefined]
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

/** Ports by what they do. A relay goes on to the same port of `server`. */
export interface Services {
  sink?: readonly Ports[]
  greet?: readonly Ports[]
  hold?: readonly Ports[]
  relay?: readonly Ports[]
  server?: string
}

/** Opens the ports. @param out makes the connections of the relay */
export const serve = async (sockets: Sockets, out: Sockets, services: Services): Promise<void> => {
  const { server = '' } = services
  const kinds: [readonly Ports[] | undefined, (port: number) => (socket: Duplex) => void][] = [
    [services.sink, sink], [services.greet, () => greet], [services.hold, () => keep], [services.relay, (port) => relay(out, server, port)],
  ]
  for (const [ports = [], handler] of kinds) {
    for (const port of ports.flatMap(expand)) await sockets.listen(port, handler(port))
  }
}
