/** What a host does when it is told to. */
import type { Duplex } from 'node:stream'
import type { Sockets } from './api.js'
import { held, pour, received } from './services.js'

/** Connections that are ended without a break. */
const RELEASED = 100

/** Opens connections, `atOnce` at a time; resolves when all are open. */
const openAll = (sockets: Sockets, address: string, port: number, count: number, atOnce: number): Promise<{ open: number; failed: number }> =>
  new Promise((resolve) => {
    let [opened, open, failed] = [0, 0, 0]
    const next = (): void => {
      if (open + failed === count) {
        resolve({ open, failed })
        return
      }
      if (opened === count) return
      opened++
      const socket = sockets.connect(address, port)
      let connected = false
      socket.on('connect', () => {
        connected = true
        open++
        held.add(socket)
        next()
      })
      socket.on('error', () => {})
      socket.on('end', () => socket.end())
      socket.on('close', () => {
        held.delete(socket)
        if (connected) return
        failed++
        next()
      })
      socket.resume()
    }
    for (let index = 0; index < Math.min(atOnce, count); index++) next()
  })

/** Opens connections one after the other on `lanes` lanes, over `ports` ports; each is read to its end and closed. */
const dialAll = (sockets: Sockets, address: string, first: number, ports: number, count: number, lanes: number): Promise<object> =>
  new Promise((resolve) => {
    const start = performance.now()
    let [opened, done, failed] = [0, 0, 0]
    const next = (): void => {
      if (done + failed === count) {
        const seconds = (performance.now() - start) / 1000
        resolve({ connections: done, failed, seconds, perSecond: done / seconds })
        return
      }
      if (opened === count) return
      const socket: Duplex = sockets.connect(address, first + opened++ % ports)
      let bytes = 0
      socket.on('data', (chunk: Buffer) => { bytes += chunk.length })
      socket.on('end', () => socket.end())
      socket.on('error', () => {})
      socket.on('close', () => {
        if (bytes === 1) done++
        else failed++
        next()
      })
    }
    for (let lane = 0; lane < Math.min(lanes, count); lane++) next()
  })

/** After what was let go of has been collected: some of it only in the next turns of the event loop. */
const memory = async (): Promise<object> => {
  const { gc } = globalThis
  for (let times = 0; times < 4; times++) {
    gc?.()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { heapUsed, external } = process.memoryUsage()
  return { heap: heapUsed + external }
}

/** Commands by name; the arguments are words. */
export const commands = (sockets: Sockets): Record<string, (words: string[]) => object | Promise<object>> => ({
  memory,
  held: () => ({ held: held.size }),
  received: () => Object.fromEntries(received),
  clear: () => {
    received.clear()
    return {}
  },
  open: ([address, port, count, atOnce]) => openAll(sockets, address!, Number(port), Number(count), Number(atOnce)),
  release: async () => {
    const all = [...held]
    // All at once would be more than the queue of a TUN holds.
    for (let next = 0; next < all.length; next += RELEASED) {
      for (const socket of all.slice(next, next + RELEASED)) socket.end()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return { count: all.length }
  },
  dial: ([address, port, ports, count, lanes]) => dialAll(sockets, address!, Number(port), Number(ports), Number(count), Number(lanes)),
  pour: ([address, port, flows]) => {
    for (let flow = 0; flow < Number(flows); flow++) {
      const socket = sockets.connect(address!, Number(port))
      socket.on('connect', () => pour(socket))
      socket.on('error', () => {})
    }
    return {}
  },
})
