// SPDX-License-Identifier: MIT
// Runs a fuzz target on files, without libFuzzer: for coverage, debuggers and other compilers.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/compiler.h"

#define MAX_BYTES (1 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int run_file(const char *path)
{
	static uint8_t bytes[MAX_BYTES];
	FILE *file = fopen(path, "re");
	size_t len;

	if (!file) {
		perror(path);
		return 1;
	}
	len = fread(bytes, 1, sizeof(bytes), file);
	(void)fclose(file);
	(void)LLVMFuzzerTestOneInput(bytes, len);
	return 0;
}

static int run_folder(const char *path)
{
	struct dirent **names = NULL;
	int nr = scandir(path, &names, NULL, alphasort), failed = nr < 0;
	char file[4096];

	for (int i = 0; i < nr; i++) {
		if (names[i]->d_type == DT_REG) {
			(void)snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
			failed |= run_file(file);
		}
		free(names[i]);
	}
	free(names);
	return failed;
}

int main(int argc, char **argv)
{
	int failed = argc < 2;

	for (int i = 1; i < argc; i++)
		failed |= run_folder(argv[i]);
	return failed;
}
