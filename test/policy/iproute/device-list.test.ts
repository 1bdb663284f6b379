import { describe, expect, it } from 'vitest'
import { initialState, runIpBatch } from '../../../src/policy/iproute/index.js'
import { devices, failure, fresh, ip } from './support.js'

const FOREVER = '       valid_lft forever preferred_lft forever\n'
const ETH0 = '2: eth0: <UP,LOWER_UP> state UP\n' +
  `    inet 10.0.0.1/24 scope global eth0\n${FOREVER}` +
  `    inet 10.0.0.9/24 scope global secondary eth0\n${FOREVER}` +
  `    inet 1.2.3.56/24 scope global eth0\n${FOREVER}`
const ETH1 = `3: eth1: <UP,LOWER_UP> state UP\n    inet 10.1.0.1/24 scope global eth1\n${FOREVER}`
const LO = `1: lo: <LOOPBACK,UP,LOWER_UP> state UNKNOWN\n    inet 127.0.0.1/8 scope host lo\n${FOREVER}`
const TUN = `4: tun0: <UP,LOWER_UP> state UP\n    inet 192.168.7.1/24 scope global tun0\n${FOREVER}`

describe('ip address show', () => {
  it('prints interfaces with their addresses, in the layout of ip', () => {
    for (const words of ['addr', 'a', 'address show', 'addr list', 'addr ls', '-4 a s', '-d addr']) {
      expect(ip(fresh(), words)).toMatchObject({ output: LO + ETH0 + ETH1 + TUN, exitCode: 0, changes: { routes: [], rules: false } })
    }
  })

  it('prints those that are asked for', () => {
    expect(ip(fresh(), 'addr show dev eth1').output).toBe(ETH1)
    expect(ip(fresh(), 'addr show eth0').output).toBe(ETH0)
    expect(ip(fresh(), 'addr show scope host').output).toBe(LO)
    expect(ip(fresh(), 'addr show scope all').output).toBe(LO + ETH0 + ETH1 + TUN)
    expect(ip(fresh(), '-o addr show eth0 primary').output).not.toContain('secondary')
    expect(ip(fresh(), 'addr show to 10.1.0.0/16').output).toBe(ETH1)
  })

  it('prints a line an address with -o', () => {
    expect(ip(fresh(), '-o addr show dev eth0 secondary').output).toBe('2: eth0    inet 10.0.0.9/24 scope global secondary eth0\\       valid_lft forever preferred_lft forever\n')
    expect(ip(fresh(), '-o addr').output.split('\n')).toHaveLength(7)
  })

  it('prints a line an interface with -br', () => {
    expect(ip(fresh(), '-br addr').output).toBe(
      'lo               UNKNOWN        127.0.0.1/8 \n' +
      'eth0             UP             10.0.0.1/24 10.0.0.9/24 1.2.3.56/24 \n' +
      'eth1             UP             10.1.0.1/24 \n' +
      'tun0             UP             192.168.7.1/24 \n',
    )
    expect(ip(fresh(), '-j -brief addr show eth1').output).toBe('[{"ifname":"eth1","operstate":"UP","addr_info":[{"local":"10.1.0.1","prefixlen":24}]}]\n')
  })

  it('prints the objects of ip with -j', () => {
    expect(JSON.parse(ip(fresh(), '-j addr show dev eth1').output)).toEqual([{
      ifindex: 3, ifname: 'eth1', flags: ['UP', 'LOWER_UP'], operstate: 'UP',
      addr_info: [{ family: 'inet', local: '10.1.0.1', prefixlen: 24, scope: 'global', label: 'eth1', valid_life_time: 4294967295, preferred_life_time: 4294967295 }],
    }])
    expect(JSON.parse(ip(fresh(), '-j -o addr show dev eth0 secondary').output)).toMatchObject([{ addr_info: [{ local: '10.0.0.9', secondary: true }] }])
  })

  it('prints the other end of a point-to-point address, and interfaces without addresses', () => {
    const state = initialState([
      { number: 1, name: 'lo', up: true, addresses: [] },
      { number: 3, name: 'eth1', up: true, addresses: [{ address: 0x0a000001, peer: 0x0a000001, prefixLength: 24, primary: true }] },
      { number: 2, name: 'ppp0', up: false, addresses: [{ address: 0x0a090001, peer: 0x0a090002, prefixLength: 32, primary: true }] },
    ])
    expect(ip(state, 'addr show').output).toBe(`1: lo: <LOOPBACK,UP,LOWER_UP> state UNKNOWN\n3: eth1: <UP,LOWER_UP> state UP\n    inet 10.0.0.1/24 scope global eth1\n${FOREVER}2: ppp0: <> state DOWN\n    inet 10.9.0.1 peer 10.9.0.2/32 scope global ppp0\n${FOREVER}`)
    expect(ip(state, '-br addr show eth1').output).toBe('eth1             UP             10.0.0.1/24 \n')
    expect(JSON.parse(ip(state, '-j addr show eth1').output)).not.toHaveProperty('0.addr_info.0.address')
    expect(JSON.parse(ip(state, '-j addr show ppp0').output)).toMatchObject([{ flags: [], operstate: 'DOWN', addr_info: [{ local: '10.9.0.1', address: '10.9.0.2' }] }])
    expect(ip(state, 'addr show up').output).not.toContain('ppp0')
  })
})

describe('ip link show', () => {
  it('prints interfaces with their state', () => {
    const state = initialState(devices.map((device) => (device.name === 'eth1' ? { ...device, up: false } : device)))
    for (const words of ['link', 'l', 'link show', 'li ls', '-o link']) {
      expect(ip(state, words).output).toBe('1: lo: <LOOPBACK,UP,LOWER_UP> state UNKNOWN\n2: eth0: <UP,LOWER_UP> state UP\n3: eth1: <> state DOWN\n4: tun0: <UP,LOWER_UP> state UP\n')
    }
    expect(ip(state, 'link show dev eth1').output).toBe('3: eth1: <> state DOWN\n')
    expect(ip(state, '-br link show up').output).toContain('tun0             UP             <UP,LOWER_UP> \n')
    expect(ip(state, '-j link show eth1').output).toBe('[{"ifindex":3,"ifname":"eth1","flags":[],"operstate":"DOWN"}]\n')
  })
})

describe('what is the kernel\'s', () => {
  it.each([
    ['addr add 10.0.0.5/24 dev eth0', '"add" is not supported: addresses are the kernel\'s, and tsnat follows them; use ip(8)\n'],
    ['a del 10.0.0.1/24 dev eth0', '"del" is not supported: addresses are the kernel\'s'],
    ['addr flush dev eth0', '"flush" is not supported: addresses are'],
    ['link set eth0 down', '"set" is not supported: links are the kernel\'s, and tsnat follows them; use ip(8)\n'],
    ['link add dummy0 type dummy', '"add" is not supported: links are'],
  ])('refuses %s as other words that are refused', (command, message) => {
    expect(failure(fresh(), command)).toContain(message)
    expect(ip(fresh(), command).exitCode).toBe(255)
  })

  it('says when there is no such interface, as ip does', () => {
    for (const command of ['addr show dev eth9', 'link show eth9']) {
      expect(failure(fresh(), command)).toBe('Device "eth9" does not exist.\n')
      expect(ip(fresh(), command).exitCode).toBe(1)
    }
    expect(failure(fresh(), 'addr shwo')).toContain('did you mean "show"?')
  })

  it('ends a batch that would change it, and nothing has changed', () => {
    const outcome = runIpBatch(fresh(), 'route add 5/8 via 10.0.0.254\naddr add 10.0.0.5/24 dev eth0\n')
    expect(outcome).toMatchObject({ exitCode: 1, changes: { routes: [], rules: false } })
    expect(outcome.errors[0]).toMatchObject({ word: { text: 'add', line: 2, column: 6 } })
  })
})
