import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { describe, expect, it } from 'vitest'
import { SOCKET_FLAG, SocketTable } from '../../../src/stack/sockets/socket-table.js'
import { ip } from '../support.js'
import { numbersFrom, socketRow } from './support.js'

const { connected } = SOCKET_FLAG
const HERE = ip('10.0.0.1')
const THERE = ip('198.51.100.10')
/** Rows that stay, by port. As many others move all the time, through the same few chains. */
const STEADY = 8

const bundle = async (): Promise<string> => {
  const bundled = await rolldown({ input: fileURLToPath(new URL('../../../src/stack/sockets/socket-table.ts', import.meta.url)), platform: 'node' })
  const { output } = await bundled.generate({ format: 'esm' })
  await bundled.close()
  return output[0].code
}
const dataUrl = (code: string): URL => new URL(`data:text/javascript;base64,${Buffer.from(code).toString('base64')}`)

/** Looks for rows that stay, and for the others, until it is told to stop. */
const READER = `
import { workerData, parentPort } from 'node:worker_threads'
import { SocketTable } from 'MODULE'
const { buffer, stop, here, there, steady } = workerData
const table = new SocketTable(buffer)
const control = new Int32Array(stop)
let lookups = 0, missed = 0, wrong = 0, moving = 0
while (Atomics.load(control, 0) === 0) {
  for (let port = 1; port <= steady; port++) {
    const index = table.find(6, there, 80, here, port, 0, 0)
    lookups++
    if (index < 0) missed++
    else if (table.markOf(index) !== port) wrong++
    if (table.findConnected(6, there, 80, here, steady + 1 + (lookups % 100), 0) >= 0) moving++
  }
  Atomics.store(control, 1, lookups)
}
parentPort.postMessage({ lookups, missed, wrong, moving })
`

describe('a table that is read while it changes', () => {
  it('shows what does not change, and ends each search', async () => {
    const buffer = SocketTable.allocate(2 * STEADY)
    const table = new SocketTable(buffer)
    const ends = { localAddress: HERE, remoteAddress: THERE, remotePort: 80 }
    for (let port = 1; port <= STEADY; port++) table.add(socketRow({ protocol: 6, flags: connected, localPort: port, mark: port, ...ends }))
    const stop = new SharedArrayBuffer(8)
    const control = new Int32Array(stop)
    const code = READER.replace('MODULE', dataUrl(await bundle()).href)
    const worker = new Worker(dataUrl(code), { workerData: { buffer, stop, here: HERE, there: THERE, steady: STEADY } })
    const told = once(worker, 'message') as Promise<[{ lookups: number; missed: number; wrong: number; moving: number }]>
    const random = numbersFrom(7)
    const rows: number[] = []
    let changes = 0
    while (Atomics.load(control, 1) < 200_000) {
      for (let step = 0; step < 2000; step++) {
        const dice = random.next()
        const port = STEADY + 1 + (dice % 100)
        const at = dice % Math.max(1, rows.length)
        if (rows.length < STEADY) rows.push(table.add(socketRow({ protocol: 6, flags: connected, localPort: port, mark: 100_000, ...ends })))
        else if (dice >>> 29 === 0) table.remove(rows.splice(at, 1)[0]!)
        else table.update(rows[at]!, { localPort: port, localAddress: dice >>> 29 === 1 ? 0 : HERE })
        changes++
      }
      await turn()
    }
    Atomics.store(control, 0, 1)
    const [{ lookups, missed, wrong, moving }] = await told
    expect(changes).toBeGreaterThan(1000)
    expect(lookups).toBeGreaterThanOrEqual(200_000)
    expect(moving).toBeGreaterThan(0)
    expect([missed, wrong]).toEqual([0, 0])
  })
})
