/** Ways to run it: several instances at once, from a file, in the background, under a service manager. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ExitCode } from '../../src/errors.js'
import type { LabNamespace } from '../../src/testing/lab/index.js'
import { CLIENT, fetchPage, GATEWAY, GatewayLab, REMOTE, serveHttp, SERVER, until } from './gateway-support.js'

let lab: GatewayLab
let before: string[]
beforeEach(async () => {
  lab = await GatewayLab.create()
  await serveHttp(lab.server)
  before = await lab.snapshot()
})
afterEach(async () => {
  // A log stays behind a detached gateway.
  for (const name of lab.left()) expect([ExitCode.ok, ExitCode.notRunning]).toContain((await lab.tsnat('down', '--name', name)).code)
  expect(await lab.snapshot()).toEqual(before)
  await lab.close()
})

describe('several instances', () => {
  let second: LabNamespace
  beforeEach(async () => {
    second = await lab.lab.namespace('second')
    await lab.lab.link(second, { name: 'eth0', address: '192.168.2.2/24' }, lab.gateway, { name: 'eth2', address: '192.168.2.1/24' })
    await second.route('default', '192.168.2.1')
    before = await lab.snapshot()
  })

  it('on one WAN, with ports of their own', async () => {
    const { client, server } = lab
    await lab.up('--ports', '40000-44999')
    await lab.up('--name', 'two', '--ports', '50000-54999', '--lan', 'tun1', '--lan-address', '10.78.0.2/24', '--capture', 'iif=eth2')
    const portSeen = async (from: LabNamespace): Promise<number> => Number((await fetchPage(from, `http://${REMOTE}/`)).split(' ')[1])
    const inFirst = (port: number): boolean => port >= 40000 && port <= 44999
    const inSecond = (port: number): boolean => port >= 50000 && port <= 54999
    for (let round = 0; round < 5; round++) {
      expect(await portSeen(client)).toSatisfy(inFirst)
      expect(await portSeen(second)).toSatisfy(inSecond)
    }
    const insides = async (name?: string): Promise<string[]> => [...new Set((await lab.flows(name)).map(({ original }) => original.src))]
    expect([await insides(), await insides('two')]).toEqual([[CLIENT], ['192.168.2.2']])
    expect(lab.gateway.readSysctl('net.ipv4.ip_local_reserved_ports')).toBe('40000-44999,50000-54999')

    // One ends; the other goes on, with all it needs.
    expect((await lab.tsnat('down')).code).toBe(ExitCode.ok)
    expect(await portSeen(second)).toSatisfy(inSecond)
    expect(lab.gateway.readSysctl('net.ipv4.ip_local_reserved_ports')).toBe('50000-54999')
    expect((await lab.tsnat('status')).stderr).toContain('running: two (choose with --name)')
    const capture = await lab.capture()
    await fetchPage(server, `http://${GATEWAY}:50000/`, '--max-time', '0.3')
    expect(await capture.packets(`src host ${GATEWAY} and src port 50000`)).toEqual([])
  })

  it('on two WANs', async () => {
    const other = await lab.lab.namespace('other')
    await lab.lab.link(lab.gateway, { name: 'wan1', address: '198.18.0.1/24' }, other, { name: 'eth0', address: '198.18.0.9/24' })
    await lab.ip(other, `addr add ${REMOTE}/32 dev lo`)
    await serveHttp(other)
    before = await lab.snapshot()
    await lab.gateway.route('198.51.100.0/24', '198.18.0.9', { device: 'wan1', metric: 10 })
    await lab.up()
    await lab.up('--name', 'two', '--wan', 'wan1', '--lan', 'tun1', '--lan-address', '10.78.0.2/24', '--capture', 'iif=eth2')
    expect(await fetchPage(lab.client, `http://${SERVER}/`)).toContain(`${GATEWAY} `)
    expect(await fetchPage(second, `http://${REMOTE}/`)).toContain('198.18.0.1 ')
    for (const name of ['two', 'default']) expect((await lab.tsnat('down', '--name', name)).code).toBe(ExitCode.ok)
    await lab.gateway.deleteRoute('198.51.100.0/24', '198.18.0.9')
  })
})

it('from a file, with flags that win over it', async () => {
  const file = join(lab.lab.temporaryDirectory(), 'tsnat.yaml')
  writeFileSync(file, `
wan: eth0
name: filed
lan: tun7
lanAddress: 10.99.0.2/24
ports: 40000-40099
capture:
  iif: [eth1]
timeouts:
  udp: 120
log:
  level: warn
`)
  const up = await lab.up('--config', file, '--ports', '41000-41099', '--lan-mtu', '1300')
  expect(await lab.status('filed')).toMatchObject({
    name: 'filed',
    lan: { name: 'tun7', gatewayAddress: '10.99.0.1', mtu: 1300, capture: 'iif=eth1' },
    wans: [{ ports: '41000-41099' }],
  })
  const [, port] = (await fetchPage(lab.client, `http://${SERVER}/`)).split(' ')
  expect(Number(port)).toSatisfy((one: number) => one >= 41000 && one <= 41099)
  expect(up.stderr).toBe('')
})

describe('in the background', () => {
  it('status --wait waits for it, whoever comes first', async () => {
    const waiting = lab.tsnat('status', '--wait', '10', '--json')
    const began = performance.now()
    const { code, stdout } = await lab.run(lab.gateway, process.execPath, lab.upCommand('--detach'), { env: lab.environment })
    const took = performance.now() - began
    expect([code, stdout]).toEqual([ExitCode.ok, expect.stringMatching(/^tsnat default is up, pid \d+\n$/)])
    expect(JSON.parse((await waiting).stdout)).toMatchObject({ state: 'ready' })
    expect(await fetchPage(lab.client, `http://${SERVER}/`)).toContain(`${GATEWAY} `)
    console.log(`tsnat up --detach: ready after ${Math.round(took)} ms`)
    expect((await lab.tsnat('down')).code).toBe(ExitCode.ok)
    expect((await lab.tsnat('status', '--wait', '0')).code).toBe(ExitCode.failure)
  })

  it('goes on when the terminal that it was started from is gone', async () => {
    const shell = lab.gateway.spawn('sh', ['-c', '"$@"; sleep 60', 'sh', process.execPath, ...lab.upCommand('--detach')], { env: lab.environment })
    await shell.waitFor(/is up/)
    shell.kill('SIGHUP')
    shell.kill('SIGINT')
    await shell.done
    expect(await fetchPage(lab.client, `http://${SERVER}/`)).toContain(`${GATEWAY} `)
  })

  it('a WAN that is not usable yet: it is up, degraded, and ready later', async () => {
    await lab.gateway.deleteRoute('default', SERVER)
    const { code } = await lab.run(lab.gateway, process.execPath, lab.upCommand('--detach'), { env: lab.environment })
    expect(code).toBe(ExitCode.ok)
    expect(await lab.status()).toMatchObject({ state: 'degraded', reasons: ['no default route leaves by eth0'] })
    const waiting = lab.tsnat('status', '--wait', '10')
    await lab.gateway.route('default', SERVER)
    expect((await waiting).code).toBe(ExitCode.ok)
    expect(await fetchPage(lab.client, `http://${REMOTE}/`)).toContain(`${GATEWAY} `)
  })
})

it('under a service manager: told when ready, when stopping, and of nothing before', async () => {
  const socket = join(lab.lab.temporaryDirectory(), 'notify.sock')
  const manager = lab.gateway.spawn('nc', ['-lU', '-u', '-k', socket])
  await until(() => existsSync(socket))
  const up = lab.gateway.spawn(process.execPath, lab.upCommand(), { env: { ...lab.environment, NOTIFY_SOCKET: socket } })
  await manager.waitFor(/READY=1/)
  expect(await fetchPage(lab.client, `http://${SERVER}/`)).toContain(`${GATEWAY} `)
  expect(manager.stdout).not.toContain('STOPPING')
  up.kill('SIGTERM')
  expect((await up.done).code).toBe(ExitCode.ok)
  expect(manager.stdout.replaceAll('\n', '')).toBe('READY=1STOPPING=1')
})

it('from start to ready', async () => {
  const times: number[] = []
  for (let round = 0; round < 3; round++) {
    const began = performance.now()
    const up = await lab.up()
    times.push(Math.round(performance.now() - began))
    up.kill('SIGINT')
    expect((await up.done).code).toBe(ExitCode.ok)
  }
  console.log(`start to ready: ${times.join(', ')} ms`)
})
