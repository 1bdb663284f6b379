/** A gateway that is too slow for what comes: what the queue of the TUN has no room for shows in status and metrics. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createControlClient } from '../../src/api/client.js'
import { GatewayLab, REMOTE } from './gateway-support.js'

let lab: GatewayLab
beforeAll(async () => {
  lab = await GatewayLab.create()
})
afterAll(() => lab.close())

/** Sends as many small datagrams as `process.argv[2]` says to `process.argv[1]`, one after another. */
const SENDER = `
  import { createSocket } from 'node:dgram'
  const [, address, count] = process.argv
  const socket = createSocket('udp4')
  socket.connect(9, address, async () => {
    socket.on('error', () => {})
    for (let sent = 0; sent < Number(count); sent++) await new Promise((resolve) => socket.send('x', resolve))
    socket.close()
  })`

it.each([['iif=eth1'], ['default']])('--capture %s', async (capture) => {
  const gateway = await lab.up('--capture', capture)
  const from = capture === 'default' ? lab.gateway : lab.client
  expect((await lab.status()).lan.kernelDrops).toBe(0)
  // It reads nothing for a while; the queue holds 1000.
  process.kill(gateway.pid, 'SIGSTOP')
  await from.node(SENDER, [REMOTE, '1500']).finish()
  process.kill(gateway.pid, 'SIGCONT')
  const { lan } = await lab.untilStatus(({ lan: { kernelDrops, rx } }) => kernelDrops > 0 && rx.packets + kernelDrops >= 1500)
  expect(lan.rx.packets + lan.kernelDrops).toBe(1500)
  expect((await lab.tsnat('status')).stdout).toMatch(/ {2}LAN[^]*\n +\d+ dropped by the kernel before tsnat could read them\n[^]* {2}WAN/)
  const metrics = await createControlClient('default', join(lab.runs, 'default', 'control.sock')).metrics()
  expect(metrics).toContain(`tsnat_kernel_drops_total{side="lan",interface="tun0"} ${lan.kernelDrops}\n`)
  gateway.kill('SIGINT')
  await gateway.finish()
})
