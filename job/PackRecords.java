import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.flink.api.common.operators.ProcessingTimeService.ProcessingTimeCallback;
import org.apache.flink.streaming.api.graph.StreamConfig;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.operators.Output;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.tasks.ProcessingTimeService;
import org.apache.flink.streaming.runtime.tasks.StreamTask;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.runtime.operators.TableStreamOperator;

public class PackRecords extends TableStreamOperator implements OneInputStreamOperator, ProcessingTimeCallback {

    private static final int NONE = -1;

    private final int maxRecords;
    private final int maxBytes;
    private final long lingerMillis;

    private transient byte[] pack;
    private transient int size;
    private transient int count;
    private transient boolean isTimed;

    public PackRecords(
            Object[] references, StreamTask task, StreamConfig config, Output output, ProcessingTimeService time)
            throws Exception {
        maxRecords = ((Number) references[0]).intValue();
        maxBytes = ((Number) references[1]).intValue();
        lingerMillis = ((Number) references[2]).longValue();
        this.setup(task, config, output);
        this.setProcessingTimeService(time);
    }

    public void open() throws Exception {
        super.open();
        pack = new byte[maxBytes];
        reset();
    }

    public void processElement(StreamRecord element) throws Exception {
        RowData row = (RowData) element.getValue();
        byte[] key = row.isNullAt(0) ? null : row.getBinary(0);
        byte[] value = row.isNullAt(1) ? null : row.getBinary(1);
        byte[] topic = row.getString(2).toBytes();
        int needed = 32 + lengthOf(key) + lengthOf(value) + topic.length;
        if (count > 0 && size + needed > maxBytes) {
            flush();
        }
        reserve(needed);
        putInt(topic.length);
        putInt(row.getInt(3));
        putLong(row.getLong(4));
        putInt(key == null ? NONE : key.length);
        putInt(value == null ? NONE : value.length);
        int headersAt = size;
        putInt(0);
        put(topic);
        put(key);
        put(value);
        putHeaders(row.isNullAt(5) ? null : row.getMap(5), headersAt);
        count++;
        if (count >= maxRecords || size >= maxBytes) {
            flush();
        } else if (!isTimed) {
            isTimed = true;
            ProcessingTimeService time = getProcessingTimeService();
            time.registerTimer(time.getCurrentProcessingTime() + lingerMillis, this);
        }
    }

    public void onProcessingTime(long timestamp) throws Exception {
        isTimed = false;
        flush();
    }

    public void prepareSnapshotPreBarrier(long checkpointId) throws Exception {
        flush();
    }

    public void finish() throws Exception {
        flush();
        super.finish();
    }

    private void flush() {
        if (count > 0) {
            int end = size;
            size = 0;
            putInt(count);
            byte[] full = Arrays.copyOf(pack, end);
            reset();
            output.collect(new StreamRecord(full));
        }
    }

    private void reset() {
        if (pack.length > maxBytes) {
            pack = new byte[maxBytes];
        }
        count = 0;
        size = 4;
    }

    private void putHeaders(MapData headers, int lengthAt) {
        if (headers == null || headers.size() == 0) {
            return;
        }
        int start = size;
        ArrayData names = headers.keyArray();
        ArrayData texts = headers.valueArray();
        for (int at = 0; at < headers.size(); at++) {
            byte[] name = names.getString(at).toBytes();
            byte[] text = texts.isNullAt(at) ? null : texts.getBinary(at);
            reserve(8 + name.length + lengthOf(text));
            putInt(name.length);
            putInt(text == null ? NONE : text.length);
            put(name);
            put(text);
        }
        int end = size;
        size = lengthAt;
        putInt(end - start);
        size = end;
    }

    private static int lengthOf(byte[] bytes) {
        return bytes == null ? 0 : bytes.length;
    }

    private void reserve(int more) {
        if (size + more > pack.length) {
            pack = Arrays.copyOf(pack, Math.max(2 * pack.length, size + more));
        }
    }

    private void put(byte[] bytes) {
        if (bytes != null) {
            System.arraycopy(bytes, 0, pack, size, bytes.length);
            size += bytes.length;
        }
    }

    private void putInt(int number) {
        pack[size] = (byte) (number >>> 24);
        pack[size + 1] = (byte) (number >>> 16);
        pack[size + 2] = (byte) (number >>> 8);
        pack[size + 3] = (byte) number;
        size += 4;
    }

    private void putLong(long number) {
        putInt((int) (number >>> 32));
        putInt((int) number);
    }
}
