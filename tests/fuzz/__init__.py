"""Hostile files for the four readers, and a worker that watches how they are read.

damage        bytes of any file, spoilt at random
hdf5          data files, spoilt through h5py or with their checksums mended
checkpoints   checkpoints, spoilt in the dict, the pickle or the zip
toml          config files, spoilt as text
idx           folders of digits, with forged headers and streams
seeds         the whole files that all of these start from
readers       what airkit does with each kind of file, and what must hold once it was read
watch         the limits: time, memory, output, warnings, files opened, code run
worker        a process that makes and reads one input after another
campaign      starts workers, collects what they report, survives their death
"""
