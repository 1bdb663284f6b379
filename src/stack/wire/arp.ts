/**
 * ARP for IPv4 over Ethernet (RFC 826). `at` is the address of the ARP packet, after the Ethernet header.
 * Call `isEthernetIpv4` first; then the accessors cannot fail.
 */
import { TYPE_IPV4 } from './ethernet.js'

export const LENGTH = 28
export const REQUEST = 1
export const REPLY = 2

const HARDWARE_ETHERNET = 1

/** Whether `length` bytes at `at` are an ARP packet that resolves IPv4 to Ethernet addresses. */
export const isEthernetIpv4 = (view: DataView, at: number, length: number): boolean =>
  length >= LENGTH &&
  view.getUint16(at) === HARDWARE_ETHERNET &&
  view.getUint16(at + 2) === TYPE_IPV4 &&
  view.getUint8(at + 4) === 6 &&
  view.getUint8(at + 5) === 4

/** REQUEST or REPLY. */
export const operation = (view: DataView, at: number): number => view.getUint16(at + 6)
export const senderMacHigh = (view: DataView, at: number): number => view.getUint16(at + 8)
export const senderMacLow = (view: DataView, at: number): number => view.getInt32(at + 10)
export const senderIp = (view: DataView, at: number): number => view.getInt32(at + 14)
export const targetMacHigh = (view: DataView, at: number): number => view.getUint16(at + 18)
export const targetMacLow = (view: DataView, at: number): number => view.getInt32(at + 20)
export const targetIp = (view: DataView, at: number): number => view.getInt32(at + 24)

/** Writes all 28 bytes. */
export const write = (
  view: DataView,
  at: number,
  op: number,
  senderHigh: number,
  senderLow: number,
  senderAddress: number,
  targetHigh: number,
  targetLow: number,
  targetAddress: number,
): void => {
  view.setUint16(at, HARDWARE_ETHERNET)
  view.setUint16(at + 2, TYPE_IPV4)
  view.setUint8(at + 4, 6)
  view.setUint8(at + 5, 4)
  view.setUint16(at + 6, op)
  view.setUint16(at + 8, senderHigh)
  view.setInt32(at + 10, senderLow)
  view.setInt32(at + 14, senderAddress)
  view.setUint16(at + 18, targetHigh)
  view.setInt32(at + 20, targetLow)
  view.setInt32(at + 24, targetAddress)
}
