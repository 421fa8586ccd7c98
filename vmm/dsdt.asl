/* SPDX-License-Identifier: MIT */
/*
 * The machine's fixed devices. No loops and no methods, on purpose; those of hotplug are
 * appended by acpi_slots.c. Addresses and lines are those of memmap.h.
 */
DefinitionBlock ("", "DSDT", 2, "FERRY", "FERRYDSD", 1)
{
    /* S5: the value for SLP_TYP in PM1a_CNT, acpi_pm.c */
    Name (\_S5, Package () { 5, 0, 0, 0 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_BBN, 0)
            Name (_SEG, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0x0000, 0x0000, 0, 0x0001)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
                    NonCacheable, ReadWrite,
                    0, 0xC0000000, 0xDFFFFFFF, 0, 0x20000000)
            })

            /* INTA of device n is GSI 16 + n % 8: memmap.h */
            Name (_PRT, Package ()
            {
                Package () { 0x0000FFFF, 0, Zero, 16 }, Package () { 0x0001FFFF, 0, Zero, 17 },
                Package () { 0x0002FFFF, 0, Zero, 18 }, Package () { 0x0003FFFF, 0, Zero, 19 },
                Package () { 0x0004FFFF, 0, Zero, 20 }, Package () { 0x0005FFFF, 0, Zero, 21 },
                Package () { 0x0006FFFF, 0, Zero, 22 }, Package () { 0x0007FFFF, 0, Zero, 23 },
                Package () { 0x0008FFFF, 0, Zero, 16 }, Package () { 0x0009FFFF, 0, Zero, 17 },
                Package () { 0x000AFFFF, 0, Zero, 18 }, Package () { 0x000BFFFF, 0, Zero, 19 },
                Package () { 0x000CFFFF, 0, Zero, 20 }, Package () { 0x000DFFFF, 0, Zero, 21 },
                Package () { 0x000EFFFF, 0, Zero, 22 }, Package () { 0x000FFFFF, 0, Zero, 23 },
                Package () { 0x0010FFFF, 0, Zero, 16 }, Package () { 0x0011FFFF, 0, Zero, 17 },
                Package () { 0x0012FFFF, 0, Zero, 18 }, Package () { 0x0013FFFF, 0, Zero, 19 },
                Package () { 0x0014FFFF, 0, Zero, 20 }, Package () { 0x0015FFFF, 0, Zero, 21 },
                Package () { 0x0016FFFF, 0, Zero, 22 }, Package () { 0x0017FFFF, 0, Zero, 23 },
                Package () { 0x0018FFFF, 0, Zero, 16 }, Package () { 0x0019FFFF, 0, Zero, 17 },
                Package () { 0x001AFFFF, 0, Zero, 18 }, Package () { 0x001BFFFF, 0, Zero, 19 },
                Package () { 0x001CFFFF, 0, Zero, 20 }, Package () { 0x001DFFFF, 0, Zero, 21 },
                Package () { 0x001EFFFF, 0, Zero, 22 }, Package () { 0x001FFFFF, 0, Zero, 23 }
            })
        }

        /* ECAM is no RAM and belongs to nobody else (PCI Firmware 3.3, 4.1.2). */
        Device (MCFG)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xE0000000, 0x00100000)
            })
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08)
                IRQNoFlags () { 4 }
            })
        }

        Device (RTC)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
                IRQNoFlags () { 8 }
            })
        }

        Device (PEVT)
        {
            Name (_HID, "QEMU0001")
            Name (_STA, 0x0F)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0505, 0x0505, 0x01, 0x01)
            })
        }
    }
}
