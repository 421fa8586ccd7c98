/* SPDX-License-Identifier: MIT */
/*
 * dropbear's localoptions.h: started by init for each connection, public keys
 * only, one algorithm of each kind.
 */
#define INETD_MODE                 1
#define NON_INETD_MODE             0
#define DROPBEAR_SVR_PASSWORD_AUTH 0
#define DROPBEAR_DSS               0
#define DROPBEAR_ECDSA             0
#define DROPBEAR_SK_KEYS           0
#define DROPBEAR_DH_GROUP14_SHA1   0
#define DROPBEAR_DH_GROUP14_SHA256 0
#define DROPBEAR_ECDH              0
#define DROPBEAR_X11FWD            0
#define DROPBEAR_SVR_AGENTFWD      0
#define DROPBEAR_SFTPSERVER        0
#define DO_MOTD                    0
#define DEFAULT_PATH               "/bin:/mnt/bin"
#define DEFAULT_ROOT_PATH          "/bin:/mnt/bin"
