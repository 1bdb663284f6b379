/** Packets leave no garbage: the data plane's heap is not collected however many pass. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { GatewayLab, serveEcho, SERVER, Talker } from './gateway-support.js'

let lab: GatewayLab
beforeEach(async () => {
  lab = await GatewayLab.create()
})
afterEach(() => lab.close())

/** Collections that `--trace-gc` has printed, by heap: `[pid:address] 896 ms: Scavenge …`. */
const collections = (output: string): Map<string, number> => {
  const found = new Map<string, number>()
  for (const [, heap] of output.matchAll(/^\[\d+:(0x[0-9a-f]+)\] +\d+ ms: /gm)) found.set(heap!, (found.get(heap!) ?? 0) + 1)
  return found
}

it('no garbage collection is caused by packets', async () => {
  const up = lab.gateway.spawn(process.execPath, ['--trace-gc', ...lab.upCommand()], { env: lab.environment })
  await up.waitFor(/^ready$/m)
  // The first heap that shows up is the main thread's.
  const [main] = collections(up.stdout).keys()
  await serveEcho(lab.server)
  await lab.server.spawn('iperf3', ['-s', '--forceflush']).waitFor(/listening/)
  const talker = await Talker.start(lab.client, SERVER)
  const flood = (seconds: number): Promise<unknown> =>
    lab.client.run('iperf3', ['-c', SERVER, '-u', '-b', '0', '-l', '64', '-P', '2', '-t', String(seconds)], { check: true })
  // Until everything is compiled.
  await flood(4)

  const before = await lab.status()
  const at = up.stdout.length
  const seconds = Number(process.env['TSNAT_GC_SECONDS'] ?? 5)
  await flood(seconds)
  const after = await lab.status()
  const packets = after.lan.rx.packets - before.lan.rx.packets
  const counted = collections(up.stdout.slice(at))
  const inDataPlane = [...counted].filter(([heap]) => heap !== main).reduce((sum, [, count]) => sum + count, 0)
  console.log(`${packets} packets in ${seconds} s: ${inDataPlane} collections in the data plane, ${counted.get(main!) ?? 0} in the main thread`)
  expect(packets).toBeGreaterThan(100_000)
  expect(inDataPlane).toBeLessThanOrEqual(1)
  await talker.stop()
})
