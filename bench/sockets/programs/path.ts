/**
 * A long, bad line between two namespaces: a TUN at each end, and between them the fault device, which loses packets, and the delay
 * device, which keeps them waiting. Both directions alike. The TUNs are opened without offloads, so that what is lost is one packet of
 * the wire, never a superpacket.
 *
 *   node path.mjs NAMESPACE-A DEVICE-A NAMESPACE-B DEVICE-B LOSS DELAY SEED
 *
 * LOSS is a probability, DELAY milliseconds one way. Prints "ready"; on SIGTERM what was lost, as a line of JSON, and ends.
 */
import { native } from '../../../src/native.js'
import { Batch, createSlab } from '../../../src/stack/batch.js'
import type { Region, Slab } from '../../../src/stack/batch.js'
import { DelayDevice } from '../../../src/stack/device/delay.js'
import type { Device } from '../../../src/stack/device/device.js'
import { FaultDevice } from '../../../src/stack/device/fault.js'
import { openTun, TunDevice } from '../../../src/stack/device/tun.js'

const REGION = 1 << 23
const STORAGE = 1 << 25
const BATCH = 64
/** Milliseconds between two looks at whether the line shall end. */
const TURN = 200

interface End {
  readonly device: DelayDevice
  readonly faults: FaultDevice
  readonly slab: Slab
  readonly region: Region
  readonly batch: Batch
}

const openIn = (path: string, name: string): Device => {
  const home = native().openPath('/proc/thread-self/ns/net')
  const there = native().openPath(path)
  native().setNetworkNamespace(there)
  try {
    return new TunDevice(openTun(name, false))
  } finally {
    native().setNetworkNamespace(home)
    native().close(there)
    native().close(home)
  }
}

const end = (inner: Device, loss: number, delay: number, seed: number): End => {
  const slab = createSlab(REGION + STORAGE)
  const faults = new FaultDevice(inner, { incoming: { loss }, seed, storage: { start: 0, end: 0 } })
  const device = new DelayDevice(faults, { incoming: delay, now: () => performance.now(), storage: { start: REGION, end: REGION + STORAGE } })
  return { device, faults, slab, region: { start: 0, end: REGION }, batch: new Batch(BATCH) }
}

/** Carries what is due. */
const carry = (from: End, to: End): void => {
  do {
    const count = from.device.receive(from.slab, from.region, from.batch)
    if (count <= 0) return
    to.device.send(from.slab, from.batch)
  } while (from.device.next <= performance.now())
}

const [pathA, nameA, pathB, nameB, lossText, delayText, seedText] = process.argv.slice(2) as [string, string, string, string, string, string, string]
const [loss, delay, seed] = [Number(lossText), Number(delayText), Number(seedText)]
const a = end(openIn(pathA, nameA), loss, delay, seed)
const b = end(openIn(pathB, nameB), loss, delay, seed + 1)
const fds = Int32Array.of(a.device.fd, b.device.fd)
const ready = new Int32Array(2)
let ended = false
process.on('SIGTERM', () => { ended = true })

const turn = (): void => {
  const until = performance.now() + TURN
  while (performance.now() < until) {
    const wait = Math.min(a.device.next, b.device.next, until) - performance.now()
    native().poll(fds, ready, Math.max(0, Math.ceil(wait * 1000)))
    carry(a, b)
    carry(b, a)
  }
  if (!ended) {
    setImmediate(turn)
    return
  }
  console.log(JSON.stringify({ lost: [a.faults.incoming.lost, b.faults.incoming.lost], full: [a.device.incoming.lost, b.device.incoming.lost] }))
  process.exit(0)
}
console.log('ready')
turn()
