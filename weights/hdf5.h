/* hdf5.h - HDF5 files in the form that h5py writes for Keras: a strict reader of our own, and a writer.
 *
 *     superblock 0 -> object header of the root group --symbol table--> B-tree -> leaves -> name (local heap), object header
 *                                                                                            |-- group: likewise
 *                                                                                            '-- data set: shape, dtype, one block
 *
 * Read: superblock 0 and 1, groups with symbol tables, data sets of one contiguous block (it stays where it is in the file), the text of
 * scalar string attributes. Refused by name: soft, external and new-style links, external storage, filters (compression), chunks, plug-ins'
 * types, superblocks 2 and 3. Keras never writes any of them.
 *
 * Why not libhdf5, which reads all of it: under a fuzzer 1.10.8 leaks after some hundred files and allocates 90 TB after ten thousand, it is not
 * thread-safe, and it allocates past our hook. The subset is 400 lines and finds its data without copying.
 *
 * Source: HDF5 File Format Specification, version 3.0 (support.hdfgroup.org). */
#ifndef WEIGHTS_HDF5_H
#define WEIGHTS_HDF5_H

#include "weights/file.h"

/* Tensors are called by their paths, "layers/conv2d/vars/0"; the attribute `name` of the group above is the metadata
 * "layers/conv2d/vars@name". Data sets of text and of numbers that no tensor holds are passed over. RUDD_FORMAT for broken files and for
 * parts that are not read, RUDD_LIMIT for absurd ones. Memory: names alone. */
weights_parser weights_hdf5_parse;

struct weights_supply; /* supply.h */

/* Writes tensors at their names as paths, and attributes, "group@name" and its text ("@name": the root group's), into a file that HDF5 1.0 and later,
 * h5py and the parser above read; atomically (replace.h), the same input giving the same bytes. RUDD_LIMIT for a group of more than
 * WEIGHTS_HDF5_LINKS members. Path components must sort as their paths do: letters, digits, '_'. */
enum { WEIGHTS_HDF5_LINKS = 1024 };
enum rudd_status weights_hdf5_write(const char *path, struct weights_supply *supply, const struct weights_meta *attributes,
                                    int attribute_count, struct rudd_error *err);

/* The datatype message of a dtype, [*size]; NULL: HDF5 has none that numpy would know. */
const unsigned char *weights_hdf5_datatype(size_t *size, enum weights_dtype dtype);

#endif
