// SPDX-License-Identifier: MIT
// The ferry command.
#include <stdio.h>

int main(void)
{
	return puts("ferry " FERRY_VERSION) < 0;
}
