/* A disk that lies about its syncs: loaded into a khod process before libc (LD_PRELOAD), every sync succeeds at once and does
 * nothing. A power cut then takes what was acknowledged, and the test of power cuts must notice. */
int fsync(int file) {
  (void)file;
  return 0;
}

int fdatasync(int file) {
  (void)file;
  return 0;
}

int sync_file_range(int file, long long from, long long bytes, unsigned flags) {
  (void)file, (void)from, (void)bytes, (void)flags;
  return 0;
}
