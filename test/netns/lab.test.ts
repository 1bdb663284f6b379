import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Lab } from '../../src/testing/lab/index.js'
import type { LabNamespace } from '../../src/testing/lab/index.js'
import { requests } from '../interop/support.js'

const alive = (pid: number): boolean => existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')

describe('Lab', () => {
  let lab: Lab
  let client: LabNamespace
  let gateway: LabNamespace
  let server: LabNamespace

  beforeEach(async () => {
    lab = await Lab.create(`lab${process.pid}`)
    client = await lab.namespace('client')
    gateway = await lab.namespace('gateway')
    server = await lab.namespace('server')
    await lab.link(client, { name: 'eth0', address: '192.168.1.2/24', mtu: 1400 }, gateway, { name: 'eth1', address: '192.168.1.1/24', mtu: 1400 })
    await lab.link(gateway, { name: 'eth0', address: '203.0.113.1/24' }, server, { name: 'eth0', address: '203.0.113.9/24', mac: '02:00:00:00:00:09' })
    await client.route('default', '192.168.1.1')
    await server.route('192.168.1.0/24', '203.0.113.1')
    gateway.sysctl('net.ipv4.ip_forward', 1)
  })
  afterEach(async () => { await lab.close() })

  it('carries packets between namespaces, across a router', async () => {
    const { stdout, code } = await client.run('ping', ['-c1', '-W2', '203.0.113.9'])
    expect(stdout).toContain('1 received')
    expect(code).toBe(0)
    expect((await client.run('ip', ['-br', 'link', 'show', 'eth0'])).stdout).toContain('UP')
    expect(server.inside(() => readFileSync('/proc/net/dev', 'utf8'))).toContain('eth0')
  })

  it('leaves the calling thread in its own namespace', () => {
    const before = readlinkSync('/proc/thread-self/ns/net')
    expect(client.inside(() => readlinkSync('/proc/thread-self/ns/net'))).not.toBe(before)
    expect(() => client.inside(() => { throw new Error('x') })).toThrow('x')
    expect(readlinkSync('/proc/thread-self/ns/net')).toBe(before)
  })

  it('reads and writes sysctls of the namespace alone', () => {
    expect(gateway.readSysctl('net.ipv4.ip_forward')).toBe('1')
    expect(client.readSysctl('net.ipv4.ip_forward')).toBe('0')
    expect(client.readSysctl('net/ipv6/conf/eth0/disable_ipv6')).toBe('1')
  })

  it('changes addresses, routes, MTU and link state', async () => {
    await server.address('eth0', '198.51.100.7/32')
    await gateway.route('198.51.100.7', '203.0.113.9', { mtu: 1300 })
    expect((await gateway.run('ip', ['route', 'get', '198.51.100.7'])).stdout).toContain('mtu 1300')
    expect((await gateway.run('ping', ['-c1', '-W2', '198.51.100.7'], { check: true })).code).toBe(0)
    await gateway.deleteRoute('198.51.100.7', '203.0.113.9')
    await server.deleteAddress('eth0', '198.51.100.7/32')
    await server.mtu('eth0', 1280)
    await server.down('eth0')
    expect((await server.run('ip', ['addr', 'show', 'eth0'])).stdout).toMatch(/mtu 1280(?!.*198\.51).*state DOWN[^]*203\.0\.113\.9\/24/)
    await server.up('eth0')
    await expect(server.up('eth7')).rejects.toThrow('no interface "eth7"')
    await expect(server.address('eth0', '300.1.1.1/24')).rejects.toThrow('300.1.1.1')
  })

  it('runs programs: output, input, exit code, missing program, time limit', async () => {
    expect(await client.run('cat', [], { input: 'hello' })).toEqual({ stdout: 'hello', stderr: '', code: 0, signal: null })
    expect((await client.run('sh', ['-c', 'exit 3'])).code).toBe(3)
    await expect(client.run('sh', ['-c', 'echo why >&2; exit 3'], { check: true })).rejects.toThrow(/failed with 3:\nwhy/)
    expect((await client.run('no-such-program')).code).toBe(127)
    await expect(client.run('sleep', ['60'], { timeout: 50 })).rejects.toThrow('within 50 ms')
  })

  it('runs Node in a namespace and waits for what it prints', async () => {
    const source = 'import { createServer } from "node:net"; createServer((s) => s.end("hi")).listen(+process.argv[1], () => console.log("up"))'
    const listening = server.node(source, ['8080'])
    await listening.waitFor(/up/)
    const reading = client.node('import { connect } from "node:net"; connect(8080, "203.0.113.9").pipe(process.stdout)')
    expect(await reading.finish({ timeout: 5000 })).toMatchObject({ stdout: 'hi', code: 0 })
    await expect(client.node('console.log("bye")').waitFor(/never/)).rejects.toThrow(/ended before it printed[^]*bye/)
  })

  it('makes a link without Ethernet headers', async () => {
    await lab.line(client, { name: 'p0', address: '10.9.0.1/30', mtu: 1300 }, server, { name: 'p0', address: '10.9.0.2/30', mtu: 1300 })
    expect((await client.run('ping', [...requests(3), '10.9.0.2'])).stdout).toContain('3 received')
    expect((await client.run('ip', ['link', 'show', 'p0'])).stdout).toMatch(/mtu 1300[^]*link\/none/)
    await client.down('p0')
    await client.up('p0')
    expect((await client.run('ping', ['-c1', '-s2000', '-W2', '10.9.0.2'])).stdout).toContain('1 received')
  })

  it('gives a namespace a name for other programs, and takes it back', async () => {
    const path = gateway.bind()
    const listed = execFileSync('ip', ['netns', 'exec', gateway.name, 'ip', '-br', 'addr'], { encoding: 'utf8' })
    expect(listed).toContain('203.0.113.1/24')
    await lab.close()
    expect(existsSync(path)).toBe(false)
    expect(readdirSync('/run/netns')).not.toContain(gateway.name)
  })

  it('shows what changed in a namespace', async () => {
    const before = await gateway.snapshot()
    expect(before).toContain('address eth0 203.0.113.1/24')
    await gateway.address('eth0', '203.0.113.2/24')
    const added = (await gateway.snapshot()).filter((line) => !before.includes(line))
    expect(added).toContain('address eth0 203.0.113.2/24')
    await gateway.deleteAddress('eth0', '203.0.113.2/24')
    expect(await gateway.snapshot()).toEqual(before)
  })

  it('removes its temporary directories', async () => {
    const path = lab.temporaryDirectory()
    expect(existsSync(path)).toBe(true)
    await lab.close()
    expect(existsSync(path)).toBe(false)
  })

  it('ends programs and their children when it closes', async () => {
    const shell = client.spawn('sh', ['-c', 'sleep 1000 & echo child $!; wait'])
    const [, child] = await shell.waitFor(/child (\d+)/)
    await lab.close()
    expect(alive(shell.pid)).toBe(false)
    expect(alive(Number(child))).toBe(false)
  })
})

describe('a laboratory whose process dies', () => {
  // The addon is all that this needs of tsnat: the child makes a namespace as the laboratory does, and is killed.
  const source = (root: string): string => `
    import { createRequire } from 'node:module'
    import { spawn } from 'node:child_process'
    const native = createRequire('${root}/')('${root}/native/build/Release/tsnat.node')
    native.unshareNetwork()
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'sleep', '1000'], { detached: true, stdio: 'ignore' })
    setTimeout(() => console.log(child.pid), 300)
    setInterval(() => {}, 1000)`

  it('has its programs killed by the kernel', async () => {
    const parent = spawn(process.execPath, ['--input-type=module', '-e', source(process.cwd())], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [pid] = await once(parent.stdout, 'data') as [Buffer]
    expect(alive(Number(pid))).toBe(true)
    parent.kill('SIGKILL')
    await once(parent, 'exit')
    for (let tries = 0; tries < 50 && alive(Number(pid)); tries++) execFileSync('sleep', ['0.02'])
    expect(alive(Number(pid))).toBe(false)
  })
})
